/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets that the service manager opened for us, as sd_listen_fds(3) has it. They stay open to the end, so
 * that connections wait there for the next one of us. Read on the main thread at the start; constant after that.
 */
#ifndef ALPNBPF_SYSTEM_ACTIVATION_H
#define ALPNBPF_SYSTEM_ACTIVATION_H

#include <stdbool.h>

#include "base/address.h"
#include "base/sentence.h"

#define ACTIVATION_MAX 32

struct activation {
	unsigned int count; /* 0: none; --listen counts */
	struct {
		int fd;
		struct address address;
		bool dual_stack; /* [::], and IPv4 as well */
	} sockets[ACTIVATION_MAX];
};

/*
 * What there is, looked at once: LISTEN_PID, LISTEN_FDS, and whether the descriptors are listening TCP sockets. From
 * then on they are closed on exec. NULL, and why: they are not.
 */
const struct activation *activation_get(struct sentence *why);

/*
 * Their addresses, in place of the `*count` to listen on, which may name the same ones; there is room for two a socket:
 * a [::] that takes IPv4 as well becomes two. False, and why: they differ.
 */
bool activation_replace(const struct activation *activation, struct address *listeners, unsigned int *count,
			struct sentence *why);

#endif
