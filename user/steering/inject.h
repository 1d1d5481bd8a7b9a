/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gives the kernel a packet as if it had come in at an interface: it passes the firewall as the client's own packets
 * do. Over loopback, firewalls meet a packet from another machine's address, and some answer it with a reset, to the
 * client. One thread.
 */
#ifndef ALPNBPF_STEERING_INJECT_H
#define ALPNBPF_STEERING_INJECT_H

#include "base/descriptor.h"
#include "steering.h"

struct injector {
	int program;   /* alpnbpf_inject (bpf/hold.bpf.h); not owned */
	int links;     /* for system/link.h */
	int conntrack; /* for system/conntrack.h; NO_DESCRIPTOR: the kernel has no nfnetlink */
};

#define INJECTOR_CLOSED                                                                                                \
	(struct injector)                                                                                              \
	{                                                                                                              \
		.program = NO_DESCRIPTOR, .links = NO_DESCRIPTOR, .conntrack = NO_DESCRIPTOR                           \
	}

/* 0 or -errno. */
int inject_open(struct injector *injector, int program);
void inject_close(struct injector *injector);

/*
 * The acknowledgement of a held connection, at the interface where the client's came in, with the addresses that the
 * client's had there. 0 or -errno; then nothing was sent.
 */
int inject_held(const struct injector *injector, const struct steer_idle *idle);

#endif
