/* SPDX-License-Identifier: BSD-2-Clause */
/* Metrics in Prometheus' text format 0.0.4; http.h adds the HTTP headers. Main thread. */
#ifndef ALPNBPF_OPERATE_METRICS_H
#define ALPNBPF_OPERATE_METRICS_H

#include "engine/snapshot.h"
#include "operate/program.h"

/* The snapshot must not have failed, and includes program_add_counters(). */
void metrics_write(struct text *out, struct program *program, const struct snapshot *snapshot);

#endif
