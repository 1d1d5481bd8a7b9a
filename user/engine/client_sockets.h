/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets that may have a client's address (--client-address transparent), which take CAP_NET_ADMIN to make. The main
 * thread makes some in advance, and puts them into a pair of sockets for each family, from which workers take one
 * without waiting. How many fit is the pair's send buffer's decision.
 */
#ifndef ALPNBPF_ENGINE_CLIENT_SOCKETS_H
#define ALPNBPF_ENGINE_CLIENT_SOCKETS_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/descriptor.h"

#define CLIENT_FAMILIES 2 /* IPv4, IPv6 */

struct client_sockets {
	int to[CLIENT_FAMILIES], from[CLIENT_FAMILIES]; /* the main thread sends, workers receive */
	uint64_t again; /* us; main thread: no socket could be made before. 0: none failed */
};

#define CLIENT_SOCKETS_CLOSED                                                                                          \
	(struct client_sockets)                                                                                        \
	{                                                                                                              \
		.to = {NO_DESCRIPTOR, NO_DESCRIPTOR}, .from = { NO_DESCRIPTOR, NO_DESCRIPTOR }                         \
	}

/* Opens and fills it. Before the workers start. 0 or -errno. */
int client_sockets_open(struct client_sockets *sockets);
void client_sockets_close(struct client_sockets *sockets);
/* The main thread, once the workers have their ends. */
void client_sockets_let_go(struct client_sockets *sockets);

/* The main thread: fills it again, when this is writable, and at client_sockets_next(). NO_DESCRIPTOR: not now. */
int client_sockets_fd(const struct client_sockets *sockets, unsigned int family);
uint64_t client_sockets_next(const struct client_sockets *sockets);
void client_sockets_fill(struct client_sockets *sockets);

/* A worker: a TCP socket of the family, which the caller owns, or -errno: -EAGAIN while there is none. */
int client_sockets_take(const struct client_sockets *sockets, sa_family_t family);

#endif
