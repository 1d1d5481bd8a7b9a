/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of the sockets of a session, and of the listeners that client sockets inherit them from. Owns nothing; for
 * the thread that owns the socket.
 */
#ifndef ALPNBPF_ENGINE_SOCKET_OPTIONS_H
#define ALPNBPF_ENGINE_SOCKET_OPTIONS_H

#include "alpnbpf.h"
#include <stdbool.h>

#include "options/options.h"

/*
 * The buffers of one side. A flow can buffer, for a peer that does not read, the receive window of its source and the
 * send buffer of its target; together these are --buffer.
 */
unsigned int socket_buffer_share(enum side side, unsigned int buffer_bytes);
void socket_set_buffers(int fd, enum side side, const struct options *options);
/*
 * Lets a socket have an address of another machine: a client's; or, for a private listener, that of a connection which
 * TPROXY drops otherwise. Needs CAP_NET_ADMIN or CAP_NET_RAW; without them TPROXY cannot be used at all. 0 or -errno.
 */
int socket_set_transparent(int fd, int family);
/* A validation takes a few KB in each direction: both its sockets have small buffers, and while it waits even smaller.
 */
void socket_set_acme_buffers(int fd, bool waits);
/*
 * The same for a listener, after a reload. can_grow: what socket_buffers_can_grow(new) said on the main thread. Without
 * the capability, asking for more than the kernel's limit would shrink the buffer to that limit.
 */
void socket_change_buffers(int fd, const struct options *old, const struct options *new, bool can_grow);
bool socket_buffers_can_grow(const struct options *options);

/* Options that client sockets inherit from the listener: buffers, TCP_NODELAY, SO_OOBINLINE. 0 or -errno. */
int socket_set_client_options(int fd, const struct options *options);

/* Makes a listener report a connection only with its first byte. 0 or -errno. */
int socket_set_defer_accept(int fd, const struct options *options);

/*
 * Connection tracking takes a reset to, or of, the web server's socket for the connection's end: its entry is closed,
 * and expires 10 s after the last packet (nf_conntrack_tcp_timeout_close). Keepalives keep it. A client that does not
 * answer them is not given up before --idle-timeout, unless that is long.
 */
void socket_keep_tracked(int fd);

#endif
