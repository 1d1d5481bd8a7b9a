/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our own connections to the web server, as the steering programs know them: not to be steered back to us, and to be
 * shown as the client they are made for. Opened and closed by the main thread; workers call the rest, each for
 * connections of its own. Maps and a lock synchronise them.
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
#define OWN_ENDED_MAX     (4096 + OWN_ENDED_AT_ONCE) /* of each worker: as many as a listener's queue may hold */

/* A connection of ours that the programs know. */
struct own_connection {
	struct steer_connection ends;
	uint64_t cookie; /* 0: none */
};

struct own_ended;

struct own_connections {
	/* Written at start-up. */
	const struct steer_maps *maps;
	bool are_tracked; /* entered in `alpnbpf_own`; false: the programs need not know them */
	bool by_sock_ops; /* … by sock_ops; false: by us, bound before they connect */
	/* Each worker writes its own. */
	struct own_ended *ended; /* [workers]; NULL: not open. See own_connection_forget() */
	pthread_rwlock_t reuse;  /* held for writing while entries are removed, for reading while one is made */
};

/* 0 or -errno. */
int own_connections_open(struct own_connections *own, const struct steer_maps *maps, unsigned int workers);
void own_connections_close(struct own_connections *own);

/*
 * Around connect() of `fd` to the web server for `client`. begin() may bind the socket. 0 or -errno. After connect(),
 * whatever it returned, end() has to follow; it is -errno when the programs do not know the connection: close it, it
 * may be on its way back to us.
 */
int own_connection_begin(struct own_connections *own, int fd, const struct address *client, const struct address *to,
			 struct own_connection *connection);
int own_connection_end(struct own_connections *own, struct own_connection *connection);
/*
 * Before our end is closed; worker: the caller's. The entry stays until many more connections have ended, since the
 * server may not have accepted this one yet.
 */
void own_connection_forget(struct own_connections *own, unsigned int worker, struct own_connection *connection);

#endif
