/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests to the control socket and to the metrics server, and their answers. Some need a snapshot of the workers
 * or the end of a reload: then the client waits, and the main loop does not. Main thread.
 */
#ifndef ALPNBPF_OPERATE_REQUESTS_H
#define ALPNBPF_OPERATE_REQUESTS_H

#include "operate/program.h"

/* The servers of struct program, without descriptors. */
struct server requests_control_server(struct program *program);
struct server requests_metrics_server(struct program *program);

/* After servers_run(): answers the clients whose answer is ready, and starts what the others wait for. */
void requests_run(struct program *program);
/* When to call requests_run() at the latest, in us; UINT64_MAX: only on events. */
uint64_t requests_next(const struct program *program);

#endif
