/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listeners of the ACME client and of the web server, and which of them are tracked: a tracked listener has a slot
 * in a map, which the kernel empties when the listener goes. sock_ops tracks new listeners; this finds those that
 * existed before. Main thread.
 */
#ifndef ALPNBPF_STEERING_LISTENERS_H
#define ALPNBPF_STEERING_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "steering.h"
#include "steering/find_listeners.h"
#include "steering/maps.h"
#include "steering/owners.h"
#include "steering/plan.h"

/* Written at start-up. */
struct listener_tracker {
	const struct steer_plan *plan;
	const struct steer_maps *maps;
	struct listener_finder finder;
	struct strangers strangers; /* written by the main thread */
};

/* The listeners of a kind. */
struct listeners {
	unsigned int count;
	unsigned int untracked; /* of them */
	struct address first;   /* the first untracked one, or the first of all; valid if count is not 0 */
};

/* Loads the programs that find listeners. Without them, existing listeners stay untracked, which is logged. */
void listeners_open(struct listener_tracker *tracker, const struct steer_plan *plan, const struct steer_maps *maps,
		    uint64_t netns_cookie);
void listeners_close(struct listener_tracker *tracker);

/* After sock_ops is attached, and when a port has changed: tracks existing listeners. 0 or -errno. */
int listeners_find(struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners);
/* Reports the current state, and changes nothing. 0 or -errno. */
int listeners_look(const struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners);
/* Is a listener of the kind tracked? */
bool listeners_has_tracked(const struct listener_tracker *tracker, enum steer_kind kind);
/* Stops tracking all listeners of the kind. */
void listeners_forget(struct listener_tracker *tracker, enum steer_kind kind);
/* Why a listener may be untracked, for messages. */
const char *listeners_why_untracked(const struct listener_tracker *tracker, enum steer_kind kind);

#endif
