/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metrics in Prometheus' text format 0.0.4, over HTTP/1.1: GET or HEAD of /metrics, a connection a scrape. The whole of
 * HTTP that is needed fits here; requests are bounded, and their headers mean nothing to us. Main thread only.
 */
#ifndef ALPNBPF_OPERATE_METRICS_H
#define ALPNBPF_OPERATE_METRICS_H

#include "operate/program.h"

/* False: a worker did not answer in time; counters would seem to go back. */
bool metrics_write(struct text *out, struct program *program);
/* The answer to one HTTP request (up to its blank line). */
void metrics_answer(struct text *out, struct program *program, const char *request);
/* It was too long. */
void metrics_refuse(struct text *out);

#endif
