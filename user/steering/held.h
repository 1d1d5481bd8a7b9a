/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that the watch holds (bpf/hold.bpf.h), and whose ClientHello does not come: gives each back to the
 * kernel, by giving it the client's acknowledgement again, so that the web server accepts it. Main thread.
 */
#ifndef ALPNBPF_STEERING_HELD_H
#define ALPNBPF_STEERING_HELD_H

#include "base/descriptor.h"
#include "steering/inject.h"
#include "steering/maps.h"

struct ring_buffer;

struct held_connections {
	struct ring_buffer *ring; /* of struct steer_idle */
	struct injector injector;
	int routes;     /* for system/route.h */
	const int *raw; /* [STEER_FAMILIES], of the owner */
};

#define HELD_CLOSED                                                                                                    \
	(struct held_connections)                                                                                      \
	{                                                                                                              \
		.injector = INJECTOR_CLOSED, .routes = NO_DESCRIPTOR                                                   \
	}

/* 0 or -errno. `raw` must stay open as long. */
int held_open(struct held_connections *held, const struct steer_maps *maps, const int *raw);
void held_close(struct held_connections *held);

/* Readable when a connection is due. NO_DESCRIPTOR if nothing is ever held. */
int held_fd(const struct held_connections *held);
/*
 * Releases those that are due. One for which that fails is the web server's a second after its beginning: the kernel
 * retransmits the SYN-ACK, and the client answers.
 */
void held_release(struct held_connections *held);

#endif
