/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets of a worker: bound with SO_REUSEPORT, so that each worker has its own; accepting from them.
 */
#ifndef ALPNBPF_ENGINE_LISTENER_H
#define ALPNBPF_ENGINE_LISTENER_H

#include <stdbool.h>

#include "alpnbpf.h"
#include "base/address.h"
#include "options/options.h"
#include "steering/steer.h"

struct configuration;
struct worker;

struct listener {
	int fd;
	struct address address;
	bool shared;   /* with the other workers: the service manager's */
	bool in_place; /* private: sk_lookup gives it connections to the web server's own port */
};

/* Bind and listen on one address for this worker. 0, or -errno with a sentence in error that names address and remedy.
 */
int listener_open(struct worker *worker, const struct address *address, char *error, size_t error_size);

/* As listener_open(), into *listener: a worker is to take it over. */
int listener_prepare(struct listener *listener, const struct steer *steer, const struct options *options,
		     const struct address *address, char *error, size_t error_size);
/* The worker's part of a reload: takes the new listeners, closes those that are gone, and brings the others up to date.
 */
void listener_change(struct worker *worker, struct configuration *configuration);
/* A socket of the service manager's, for all workers. As listener_open(). */
int listener_share(struct worker *worker, int from, const struct address *address, char *error, size_t error_size);

/*
 * The private listener of a family, for connections that are steered to us: on loopback, at a port the kernel chooses
 * for the first worker. As listener_open().
 */
int listener_open_private(struct worker *worker, enum steer_family family, char *error, size_t error_size);

/* A connection becomes a session, if its source may have one more; else it is reset. Owns fd. */
void listener_admit(struct worker *worker, int fd, const struct address *client, const struct address *destination);

/* Take what waits there, up to a fair number. */
void listener_accept(struct worker *worker, struct listener *listener);

/* Take all that waits there, unless others can, then close: connections the kernel has accepted are served. */
void listener_close_all(struct worker *worker);

/*
 * The buffers of one side. What a flow can hold for a peer that does not read is the receive window of the side it
 * comes from and the send buffer of the side it goes to; the two together are --buffer.
 */
unsigned int socket_buffer_share(enum side side, unsigned int buffer_bytes);
/* What all clients' sockets have: that, TCP_NODELAY, urgent bytes in line. 0, or -1 and errno. */
int socket_set_client_options(int fd, const struct options *options);
void socket_set_buffers(int fd, enum side side, const struct options *options);

#endif
