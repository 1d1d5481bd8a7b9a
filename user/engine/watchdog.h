/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's watchdog (WatchdogSec=): it hears of us as long as every worker's loop turns. One that hangs
 * holds its sessions and its share of the new connections, and only a restart ends that. Main thread.
 */
#ifndef ALPNBPF_ENGINE_WATCHDOG_H
#define ALPNBPF_ENGINE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct engine;

struct watchdog {
	uint64_t interval; /* us; 0: nobody asked for it */
	uint64_t next;     /* us, when to look; UINT64_MAX: never */
	bool asked;        /* the workers were woken … */
	uint64_t *seen;    /* … when worker_loops() of each was this */
};

/* From WATCHDOG_USEC and WATCHDOG_PID. Without memory for it, it is off, and the service manager will restart us. */
void watchdog_open(struct watchdog *watchdog, unsigned int workers);
/* Milliseconds until that is due; -1: never. */
int watchdog_wait_ms(const struct watchdog *watchdog);
/* When watchdog->next has come: tells the service manager if all workers have answered, and asks them again. */
void watchdog_look(struct watchdog *watchdog, struct engine *engine);
void watchdog_close(struct watchdog *watchdog);

#endif
