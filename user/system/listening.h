/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets that listen on a TCP port of this network namespace, from sock_diag(7) or proc(5). Owns nothing. Any
 * thread.
 */
#ifndef ALPNBPF_SYSTEM_LISTENING_H
#define ALPNBPF_SYSTEM_LISTENING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

struct listening {
	struct address address;
	bool dual_stack;     /* takes IPv4 as well; false if sock_diag is not available */
	uint32_t uid;        /* the owner */
	uint64_t cookie;     /* as SO_COOKIE and sockmaps show it; 0: unknown, sock_diag is not available */
	unsigned long inode; /* as /proc/PID/fd shows it */
};

/* Fills up to `most` of them, IPv4 and IPv6. Returns how many there are, which may be more, or -errno. */
int listening_on(unsigned int port, struct listening *out, unsigned int most);
/* The same of those alone that `wanted` is true of: others, however many, take no room from them. */
int listening_wanted(unsigned int port, bool (*wanted)(void *context, const struct listening *listening), void *context,
		     struct listening *out, unsigned int most);

#endif
