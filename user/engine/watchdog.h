/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's watchdog (WatchdogSec=): we notify it as long as every worker's loop turns. A worker that hangs
 * holds its sessions and its share of new connections, and only a restart helps. Main thread.
 */
#ifndef ALPNBPF_ENGINE_WATCHDOG_H
#define ALPNBPF_ENGINE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct engine;

struct watchdog {
	uint64_t interval; /* us; 0: the service manager has no watchdog */
	uint64_t next;     /* us; when to check; UINT64_MAX: never */
	bool asked;        /* the workers were woken */
	uint64_t *seen;    /* worker_loops() of each at that time */
};

/* Reads WATCHDOG_USEC and WATCHDOG_PID. Without memory it stays off, and the service manager will restart us. */
void watchdog_open(struct watchdog *watchdog, unsigned int workers);
/* Call it at watchdog->next: notifies the service manager if all workers have answered, and asks them again. */
void watchdog_look(struct watchdog *watchdog, struct engine *engine);
void watchdog_close(struct watchdog *watchdog);

#endif
