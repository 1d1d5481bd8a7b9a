/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering: which socket gets a new connection to a listening port. Each part has a struct and a header of its own,
 * which says who writes what; this opens and closes them together. Main thread, except own connections and the release
 * of takeovers, which workers call.
 */
#ifndef ALPNBPF_STEERING_STEER_H
#define ALPNBPF_STEERING_STEER_H

#include "base/sentence.h"
#include "options/options.h"
#include "steering/arming.h"
#include "steering/listener_owner.h"
#include "steering/listeners.h"
#include "steering/load.h"
#include "steering/maps.h"
#include "steering/own_connections.h"
#include "steering/plan.h"
#include "steering/watch.h"

/* The members refer to each other, so an open struct must not be moved. */
struct steer {
	struct steer_plan plan;
	struct steer_programs programs;
	struct steer_maps maps;
	struct own_connections own;
	struct hello_watch watch;
	struct listener_tracker tracker;
	struct arming arming;
	struct listener_asker asker; /* open if the owner of some listener matters, also without any program above */
};

/* Initialises a closed struct. */
void steer_clear(struct steer *steer);
/*
 * Makes the plan, loads and attaches everything except sk_lookup, and finds existing listeners. 0 also if there is
 * nothing to steer. -errno and why if a mode that the options ask for is not possible; an impossible bypass is only
 * logged, and then why has the reason.
 */
int steer_open(struct steer *steer, const struct options *options, unsigned int workers, unsigned int max_sessions,
	       struct sentence *why);
/* Enters a worker's private listener of a family. 0 or -errno. */
int steer_set_private(struct steer *steer, unsigned int worker, enum steer_family family, int fd);
/* Starts to steer new connections. 0, or -errno and why. */
int steer_start(struct steer *steer, struct sentence *why);
/* Stops that. */
void steer_stop(struct steer *steer);
/* Connections that were steered, or are being taken over, and have no session yet. */
unsigned int steer_pending(const struct steer *steer);
void steer_close(struct steer *steer);
/*
 * In a process forked from the one that opened it, which keeps that: from now on nothing there can write what says
 * which ports and addresses are served, and who is the server. 0 or -errno.
 */
int steer_read_only(struct steer *steer);

#endif
