/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose listener does a connection to an address of this machine reach? Asks a BPF program (bpf/owner.bpf.c), which
 * needs no right, no netlink and no /proc once it is loaded. The main thread opens and closes it; any thread asks.
 */
#ifndef ALPNBPF_STEERING_LISTENER_OWNER_H
#define ALPNBPF_STEERING_LISTENER_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/descriptor.h"
#include "base/sentence.h"
#include "steering.h"

struct alpnbpf_owner;

/* Written at start-up. */
struct listener_asker {
	struct alpnbpf_owner *skel;
	int program;             /* NO_DESCRIPTOR: it cannot be asked, or need not be */
	struct sentence why_not; /* empty: it can, or need not be */
};

#define LISTENER_ASKER_CLOSED                                                                                          \
	(struct listener_asker)                                                                                        \
	{                                                                                                              \
		.program = NO_DESCRIPTOR                                                                               \
	}

struct listener_owner {
	bool found;
	uint32_t uid;    /* in the initial user namespace */
	uint64_t number; /* of this listener, and of no other */
	enum steer_peer peer;
	uint32_t peer_uid; /* of a socket */
};

/* Loads the program. 0, or -errno, and asker->why_not says why. */
int listener_asker_open(struct listener_asker *asker);
void listener_asker_close(struct listener_asker *asker);
/* See steer_read_only(). */
int listener_asker_read_only(const struct listener_asker *asker);

/*
 * Which listener does a connection to `to` reach? And if `from` is not NULL: what is the other end of the connection
 * that we made from there? 0 or -errno.
 */
int listener_owner_at(const struct listener_asker *asker, const struct address *from, const struct address *to,
		      struct listener_owner *owner);

#endif
