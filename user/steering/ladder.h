/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes over one connection: has the repair helper remove what the web server has, and make our socket, with the
 * client's bytes. What passes, such as a route that is gone, a lack of descriptors or a helper that is late, is tried
 * again for LADDER_PATIENCE_US; the caller waits. What cannot be removed stays the web server's. The caller owns the
 * struct. On the thread of the worker that takes over.
 */
#ifndef ALPNBPF_STEERING_LADDER_H
#define ALPNBPF_STEERING_LADDER_H

#include <stdbool.h>
#include <stdint.h>

#include "steering.h"
#include "steering/repair.h"

#define LADDER_PATIENCE_US 10000000 /* after that, what the client waits for has given up too */

struct ladder {
	int fd;               /* our socket, once LADDER_READY; the caller's */
	uint32_t asked;       /* for repair_take() */
	unsigned int removed; /* how often removal was tried */
	unsigned int waited;  /* how often the caller was asked to wait */
	uint64_t until;       /* us; when patience ends */
	int error;            /* -errno of the last failure */
};

enum ladder_step {
	LADDER_READY,     /* ladder->fd continues the connection; the caller owns it */
	LADDER_WAIT,      /* call ladder_climb() again after ladder_pause() */
	LADDER_GIVE_BACK, /* the web server has the connection, and keeps it */
	LADDER_LOST,      /* neither the web server nor we can continue it */
};

void ladder_begin(struct ladder *ladder, uint64_t now);
enum ladder_step ladder_climb(struct ladder *ladder, struct repair *repair, const struct steer_takeover *takeover,
			      uint64_t now);
/* Ends it without a result. The web server has the connection, or will, or else its socket is closed with ours. */
void ladder_abandon(struct ladder *ladder, struct repair *repair);
/* us */
uint64_t ladder_pause(const struct ladder *ladder);
/* Has conntrack seen a reset? */
bool ladder_left_trace(const struct ladder *ladder, const struct steer_takeover *takeover);

#endif
