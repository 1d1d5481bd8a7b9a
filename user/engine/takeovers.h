/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's part of the watch (steering/watch.h): a connection to be taken over becomes a session. The first worker
 * does this for all, on its thread; the main thread opens and closes it while that thread does not run.
 */
#ifndef ALPNBPF_ENGINE_TAKEOVERS_H
#define ALPNBPF_ENGINE_TAKEOVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/timer.h"

struct takeovers;
struct worker;

/* Opens worker->takeovers, which needs takeovers_timers() timers in addition to the sessions'. 0 or -errno. */
int takeovers_open(struct worker *worker);
size_t takeovers_timers(void);
void takeovers_close(struct worker *worker);

/* The descriptor of the ring's reader; or NO_DESCRIPTOR. */
int takeovers_epoll(const struct worker *worker);

/* Handles the records of the ring, when its descriptor is readable. */
void takeovers_receive(struct worker *worker);
/* If the timer is one of ours, handles it and returns true. */
bool takeovers_expired(struct worker *worker, struct timer *timer);
/* The worker must stop: leaves to the web server what waits, and cancels its reservations. */
void takeovers_abandon(struct worker *worker);
/* Are takeovers pending? Then the worker does not end, unless it must stop. */
bool takeovers_pending(struct worker *worker);

#endif
