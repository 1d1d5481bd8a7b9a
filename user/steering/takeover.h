/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes over a connection that the web server had begun: a reset made here ends the server's socket, and one of ours
 * continues in its place, with the sequence numbers, options and windows TCP had agreed on
 * (TCP_REPAIR, as checkpoint and restore does it). The client notices nothing. What it had said is in our socket's
 * receive queue. Holds no state of its own; takes CAP_NET_ADMIN.
 */
#ifndef ALPNBPF_STEERING_TAKEOVER_H
#define ALPNBPF_STEERING_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "steering.h"

/*
 * Can `size` bytes of the ring be a record: do the lengths it states lie within it, and are its numbers such as TCP
 * agrees on? What follows takes none that is not.
 */
bool takeover_is_sound(const struct steer_takeover *takeover, size_t size);

/* The ends of the connection as socket addresses. */
struct address takeover_client(const struct steer_takeover *takeover);
struct address takeover_server(const struct steer_takeover *takeover);

/*
 * A raw socket for the resets of a family (AF_INET, AF_INET6): takes CAP_NET_RAW. The descriptor, or -errno.
 */
int takeover_open_raw(int family);

/*
 * End the server's socket: a reset as from the client, at the sequence number `seq`, which has to be the next one that
 * socket expects (RFC 5961 section 3.2). 0 or -errno; whether it was taken shows when our socket is made.
 */
int takeover_reset_server(int raw, const struct steer_takeover *takeover, __u32 seq);

/* Tell the client what has arrived; turned off, repair says nothing that it would listen to. 0 or -errno. */
int takeover_acknowledge(int raw, const struct steer_takeover *takeover);

/* End the connection: a reset to the client, as from the server. 0 or -errno. */
int takeover_reset_client(int raw, const struct steer_takeover *takeover);

/*
 * A socket in the place of the server's, open, with all that the client has said in its receive queue. Non-blocking,
 * the caller's. -EAGAIN while the server's is still there; else -errno.
 */
int takeover_socket(const struct steer_takeover *takeover);

#endif
