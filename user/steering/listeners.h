/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listeners of the ACME client and of the web server, and which of them are tracked: have a slot in the kernel's
 * map that is empty when they are gone. sock_ops tracks those that come; those that were there before are found here.
 * Main thread only.
 */
#ifndef ALPNBPF_STEERING_LISTENERS_H
#define ALPNBPF_STEERING_LISTENERS_H

#include "steering/steer.h"

/* What there is of a kind. */
struct listeners {
	unsigned int count;
	unsigned int untracked; /* of them */
	struct address first;   /* of them all; with untracked ones, the first of those. Where count is not 0 */
};

/* After sock_ops is attached, and when a port has changed: tracks those that are there. 0 or -errno. */
int listeners_find(struct steer *steer, enum steer_kind kind, struct listeners *listeners);
/* How it is now; changes nothing. 0 or -errno. */
int listeners_look(const struct steer *steer, enum steer_kind kind, struct listeners *listeners);
/* Tracks none of the kind any more. */
void listeners_forget(struct steer *steer, enum steer_kind kind);
/* Why a listener may be untracked, in words. */
const char *listeners_why_untracked(const struct steer *steer, enum steer_kind kind);

#endif
