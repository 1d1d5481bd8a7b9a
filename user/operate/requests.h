/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests to the control socket and to the metrics server, and their answers. Some need a snapshot of
 * the workers, or the end of a reload: their clients wait for that, the main loop does not. Main thread.
 */
#ifndef ALPNBPF_OPERATE_REQUESTS_H
#define ALPNBPF_OPERATE_REQUESTS_H

#include "operate/program.h"

/* The servers of struct program, but for their descriptors. */
struct server requests_control_server(struct program *program);
struct server requests_metrics_server(struct program *program);

/* Answers clients whose answer is ready, and begins what others wait for. After servers_run(). */
void requests_run(struct program *program);
/* When it wants to be called at the latest, us; UINT64_MAX: only for events. */
uint64_t requests_next(const struct program *program);

#endif
