/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listeners of the ACME client and of the web server, and which of them are tracked: have a slot in the kernel's
 * map that is empty when they are gone. sock_ops tracks those that come; those that were there before are found here.
 * Main thread.
 */
#ifndef ALPNBPF_STEERING_LISTENERS_H
#define ALPNBPF_STEERING_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "steering.h"
#include "steering/find_listeners.h"
#include "steering/maps.h"
#include "steering/plan.h"

/* Written at start-up. */
struct listener_tracker {
	const struct steer_plan *plan;
	const struct steer_maps *maps;
	struct listener_finder finder;
};

/* What there is of a kind. */
struct listeners {
	unsigned int count;
	unsigned int untracked; /* of them */
	struct address first;   /* of them all; with untracked ones, the first of those. Where count is not 0 */
};

/* Without the programs that find listeners, those that were there before are untracked: that is logged. */
void listeners_open(struct listener_tracker *tracker, const struct steer_plan *plan, const struct steer_maps *maps,
		    uint64_t netns_cookie);
void listeners_close(struct listener_tracker *tracker);

/* After sock_ops is attached, and when a port has changed: tracks those that are there. 0 or -errno. */
int listeners_find(struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners);
/* How it is now; changes nothing. 0 or -errno. */
int listeners_look(const struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners);
/* Is one of the kind tracked? */
bool listeners_has_tracked(const struct listener_tracker *tracker, enum steer_kind kind);
/* Tracks none of the kind any more. */
void listeners_forget(struct listener_tracker *tracker, enum steer_kind kind);
/* Why a listener may be untracked, in words. */
const char *listeners_why_untracked(const struct listener_tracker *tracker, enum steer_kind kind);

#endif
