/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metrics in Prometheus' text format 0.0.4, as answers to HTTP requests. Main thread only.
 */
#ifndef ALPNBPF_OPERATE_METRICS_H
#define ALPNBPF_OPERATE_METRICS_H

#include "operate/program.h"

/* False: a worker did not answer in time; counters would seem to go back. */
bool metrics_write(struct text *out, struct program *program);
/* The answer to one HTTP request (up to its blank line). */
void metrics_answer(struct text *out, struct program *program, const char *request);

#endif
