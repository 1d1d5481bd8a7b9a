/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering: who gets a new connection to a listened port. One struct an owner, each with its own header, which says who
 * writes what; this conducts them. Main thread, but for own connections and the release of takeovers, which workers
 * call.
 */
#ifndef ALPNBPF_STEERING_STEER_H
#define ALPNBPF_STEERING_STEER_H

#include "base/sentence.h"
#include "options/options.h"
#include "steering/arming.h"
#include "steering/listeners.h"
#include "steering/load.h"
#include "steering/maps.h"
#include "steering/own_connections.h"
#include "steering/plan.h"
#include "steering/watch.h"

/* They refer to each other: it does not move once it is open. */
struct steer {
	struct steer_plan plan;
	struct steer_programs programs;
	struct steer_maps maps;
	struct own_connections own;
	struct hello_watch watch;
	struct listener_tracker tracker;
	struct arming arming;
};

/* Nothing is open, nothing is steered. */
void steer_clear(struct steer *steer);
/*
 * Decide, load and attach all but sk_lookup, and find the listeners that are there. 0 also where there is nothing to
 * steer. -errno and why when the options cannot be met: in-place mode or an address asked for by name; a bypass that is
 * not possible is only logged, and why says it too.
 */
int steer_open(struct steer *steer, const struct options *options, unsigned int workers, unsigned int max_sessions,
	       struct sentence *why);
/* A worker's private listener of a family. 0 or -errno. */
int steer_set_private(struct steer *steer, unsigned int worker, enum steer_family family, int fd);
/* From now on new connections are steered. 0, or -errno and why. */
int steer_start(struct steer *steer, struct sentence *why);
/* No new ones from now on. */
void steer_stop(struct steer *steer);
/* Connections that were steered or are being taken over, and that no worker has accepted yet. */
unsigned int steer_pending(const struct steer *steer);
void steer_close(struct steer *steer);

#endif
