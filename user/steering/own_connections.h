/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our own connections to the web server, so that the steering programs do not steer them back to us, and getpeername()
 * shows the client. The main thread opens and closes this; workers call the rest, each for its own connections. Maps
 * and a lock synchronise them.
 */
#ifndef ALPNBPF_STEERING_OWN_CONNECTIONS_H
#define ALPNBPF_STEERING_OWN_CONNECTIONS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "steering.h"
#include "steering/maps.h"

#define OWN_ENDED_AT_ONCE 64
#define OWN_ENDED_MAX     (4096 + OWN_ENDED_AT_ONCE) /* per worker: as many as a listener's queue may hold */

/* A connection of ours that has an entry. */
struct own_connection {
	struct steer_connection ends;
	uint64_t cookie; /* 0: none */
};

struct own_ended;

struct own_connections {
	/* Written at start-up. */
	const struct steer_maps *maps;
	bool are_tracked; /* they are entered in `alpnbpf_own`; false: the programs need no entries */
	bool by_sock_ops; /* sock_ops enters them; false: we do, after bind() */
	/* Each worker writes its own. */
	struct own_ended *ended; /* [workers]; NULL: not open. See own_connection_forget() */
	pthread_rwlock_t reuse;  /* held for writing while entries are removed, for reading while one is added */
};

/* 0 or -errno. */
int own_connections_open(struct own_connections *own, const struct steer_maps *maps, unsigned int workers);
void own_connections_close(struct own_connections *own);

/*
 * Call them before and after connect() of `fd` to the web server for `client`; end() also if connect() failed. begin()
 * may bind the socket. 0 or -errno. If end() fails, the connection has no entry: close it, because it may be steered
 * back to us.
 */
int own_connection_begin(struct own_connections *own, int fd, const struct address *client, const struct address *to,
			 struct own_connection *connection);
int own_connection_end(struct own_connections *own, struct own_connection *connection);
/*
 * Call it before closing the socket. worker: the index of the caller. The entry stays until many more connections have
 * ended, because the server may not have accepted this one yet.
 */
void own_connection_forget(struct own_connections *own, unsigned int worker, struct own_connection *connection);

#endif
