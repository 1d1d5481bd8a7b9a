/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The repair helper: a process of one thread that keeps the rights which takeovers need (CAP_NET_ADMIN,
 * CAP_NET_BIND_SERVICE, raw sockets, SOCK_DESTROY), so that what reads bytes of the network has none of them. It takes
 * connections over (repair_duty.h), attaches the watch, and releases held connections (held.h). It ends with this
 * process, or when both its sockets are closed. Main thread, at start-up, before any other thread.
 */
#ifndef ALPNBPF_STEERING_REPAIR_HELPER_H
#define ALPNBPF_STEERING_REPAIR_HELPER_H

#include <sys/types.h>

#include "base/sentence.h"
#include "steering/repair.h"
#include "steering/repair_duty.h"
#include "system/user.h"

struct repair_helper {
	pid_t pid; /* 0: none */
	struct repair main, worker;
};

#define REPAIR_HELPER_CLOSED                                                                                           \
	(struct repair_helper)                                                                                         \
	{                                                                                                              \
		.main = REPAIR_CLOSED, .worker = REPAIR_CLOSED                                                         \
	}

/*
 * Forks it. It becomes `user` (NULL: stays who it is), takes copies of the descriptors of `duty` and of `idle` (the
 * ring alpnbpf_idle, or NO_DESCRIPTOR), and closes all others; the caller closes its own. 0, or -errno and why.
 */
int repair_helper_start(struct repair_helper *helper, struct repair_duty *duty, int idle, const struct user *user,
			struct sentence *why);
/* Ends it, and waits for its end for a second. */
void repair_helper_stop(struct repair_helper *helper);

#endif
