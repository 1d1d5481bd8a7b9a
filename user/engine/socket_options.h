/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of the sockets of a session, and of the listeners that clients inherit theirs from. Owns nothing; for the
 * thread that owns the socket.
 */
#ifndef ALPNBPF_ENGINE_SOCKET_OPTIONS_H
#define ALPNBPF_ENGINE_SOCKET_OPTIONS_H

#include "alpnbpf.h"
#include "options/options.h"

/*
 * The buffers of one side. What a flow can hold for a peer that does not read is the receive window of the side it
 * comes from and the send buffer of the side it goes to; the two together are --buffer.
 */
unsigned int socket_buffer_share(enum side side, unsigned int buffer_bytes);
void socket_set_buffers(int fd, enum side side, const struct options *options);
/* The same for a listener, after a reload. */
void socket_change_buffers(int fd, const struct options *old, const struct options *new);

/* What clients inherit from their listener: buffers, TCP_NODELAY, urgent bytes in line. 0 or -errno. */
int socket_set_client_options(int fd, const struct options *options);

/* Of a listener: it wakes us with a client's first byte, not before. 0 or -errno. */
int socket_set_defer_accept(int fd, const struct options *options);

#endif
