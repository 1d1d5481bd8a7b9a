/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets passed by the service manager, by the protocol of sd_listen_fds(3). They stay open until the
 * process ends, so that connections wait in them for the next process. Read on the main thread at start-up; constant
 * after that.
 */
#ifndef ALPNBPF_SYSTEM_ACTIVATION_H
#define ALPNBPF_SYSTEM_ACTIVATION_H

#include <stdbool.h>

#include "base/address.h"
#include "base/sentence.h"

#define ACTIVATION_MAX 32

struct activation {
	unsigned int count; /* 0: none passed; --listen applies */
	struct {
		int fd;
		struct address address;
		bool dual_stack; /* [::], and takes IPv4 as well */
	} sockets[ACTIVATION_MAX];
};

/*
 * The sockets passed to this process. The first call reads LISTEN_PID and LISTEN_FDS, checks that the descriptors are
 * listening TCP sockets, and sets them to close on exec. NULL, and why, if one is not.
 */
const struct activation *activation_get(struct sentence *why);

/*
 * Replaces the `*count` addresses to listen on by those of the sockets. A [::] that takes IPv4 as well becomes two, so
 * listeners[] has room for two per socket. False, and why, if --listen named addresses and they differ.
 */
bool activation_replace(const struct activation *activation, struct address *listeners, unsigned int *count,
			struct sentence *why);

#endif
