/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The requests to the control socket and to the metrics server, and their answers. Those that take a report of the
 * workers, or a reload, are answered once that is there; the main loop waits for neither. Main thread.
 */
#ifndef ALPNBPF_OPERATE_REQUESTS_H
#define ALPNBPF_OPERATE_REQUESTS_H

#include "operate/program.h"

/* The servers of struct program, but for their descriptors. */
struct server requests_control_server(struct program *program);
struct server requests_metrics_server(struct program *program);

/* Answers whoever waits for what is there by now, and begins what is waited for. After servers_run(). */
void requests_run(struct program *program);
/* When it wants to be called at the latest, us; UINT64_MAX: only for events. */
uint64_t requests_next(const struct program *program);

#endif
