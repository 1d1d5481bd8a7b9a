/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interface of a running attach to its operator: the control socket, the metrics server, reloads. The main loop
 * calls operate_run() when one of its descriptors is readable or operate_next() is due; nothing here waits. Main
 * thread.
 */
#ifndef ALPNBPF_OPERATE_OPERATE_H
#define ALPNBPF_OPERATE_OPERATE_H

#include <poll.h>

#include "operate/program.h"

enum { OPERATE_SERVERS, OPERATE_TRACE, OPERATE_ANSWERS, OPERATE_RELOAD, OPERATE_DESCRIPTORS };

/*
 * Opens both servers. 0, or -errno after logging an error. If no option names a control socket, its failure is only a
 * warning.
 */
int operate_open(struct program *program);
/* Handles everything that is ready. */
void operate_run(struct program *program);
/* Fills OPERATE_DESCRIPTORS entries with the descriptors to wait for; -1 for one that is not open. */
void operate_poll(const struct program *program, struct pollfd *wait);
/* When to call operate_run() at the latest, in us; UINT64_MAX: only on events. */
uint64_t operate_next(const struct program *program);
/* Also after operate_open() failed. */
void operate_close(struct program *program);

#endif
