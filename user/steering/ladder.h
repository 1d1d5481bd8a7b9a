/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes over one connection, step by step, without waiting: makes our socket as far as it can be made, removes what the
 * web server has (removal.h), and lets ours continue. What passes, such as a route that is gone or a lack of
 * descriptors, is tried again for LADDER_PATIENCE_US; the caller waits. What cannot be removed stays the web server's.
 * The caller owns the struct. On the thread of the worker that takes over.
 */
#ifndef ALPNBPF_STEERING_LADDER_H
#define ALPNBPF_STEERING_LADDER_H

#include <stdbool.h>
#include <stdint.h>

#include "steering.h"
#include "steering/removal.h"

#define LADDER_PATIENCE_US 10000000 /* after that, what the client waits for has given up too */

struct ladder {
	int fd;               /* our socket, in repair; NO_DESCRIPTOR: not made yet */
	unsigned int removed; /* how often removal was tried */
	unsigned int waited;  /* how often the caller was asked to wait */
	uint64_t until;       /* us; when patience ends */
	int error;            /* -errno of the last failure */
};

enum ladder_step {
	LADDER_READY,     /* ladder->fd continues the connection once takeover_finish() is called; the caller owns it */
	LADDER_WAIT,      /* call ladder_climb() again after ladder_pause() */
	LADDER_GIVE_BACK, /* the web server has the connection, and keeps it */
	LADDER_LOST,      /* neither the web server nor we can continue it */
};

void ladder_begin(struct ladder *ladder, uint64_t now);
enum ladder_step ladder_climb(struct ladder *ladder, const struct removal *removal,
			      const struct steer_takeover *takeover, uint64_t now);
/* us */
uint64_t ladder_pause(const struct ladder *ladder);
/* Has conntrack seen a reset? */
bool ladder_left_trace(const struct ladder *ladder, const struct steer_takeover *takeover);

#endif
