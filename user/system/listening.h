/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who listens on a TCP port of this network namespace, as sock_diag(7) or proc(5) tell it. Owns nothing. Any thread:
 * the main thread at the start and when it arms, a worker when its backend refuses.
 */
#ifndef ALPNBPF_SYSTEM_LISTENING_H
#define ALPNBPF_SYSTEM_LISTENING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

struct listening {
	struct address address;
	bool dual_stack; /* takes IPv4 as well; as far as sock_diag tells */
	bool uid_known;
	uint32_t uid;        /* whose it is; as far as sock_diag tells */
	uint64_t cookie;     /* the socket's, as SO_COOKIE and sockmaps show it; 0: not known, sock_diag is not there */
	unsigned long inode; /* the socket's, as /proc/PID/fd shows it */
};

/* Fills up to `most` of them, IPv4 and IPv6; returns how many there are (maybe more), or -errno. */
int listening_on(unsigned int port, struct listening *out, unsigned int most);

#endif
