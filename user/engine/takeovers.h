/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's side of the watch on hellos (steering/watch.h): what is to be taken over becomes a session. One worker
 * does this for all, on its thread; opened and closed by the main thread while that does not run.
 */
#ifndef ALPNBPF_ENGINE_TAKEOVERS_H
#define ALPNBPF_ENGINE_TAKEOVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/timer.h"

struct takeovers;
struct worker;

/* Into worker->takeovers; its timers are takeovers_timers() more than the worker's own. 0 or -errno. */
int takeovers_open(struct worker *worker);
size_t takeovers_timers(void);
void takeovers_close(struct worker *worker);

/* The descriptor of the ring is readable: connections are to be taken over. */
void takeovers_receive(struct worker *worker);
/* If the timer is one of ours, handles it and returns true. */
bool takeovers_expired(struct worker *worker, struct timer *timer);
/* Are some on their way? The worker stays for them, unless it has to stop. */
bool takeovers_pending(struct worker *worker);

#endif
