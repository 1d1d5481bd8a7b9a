/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes over a connection from the web server: a reset closes the server's socket, and a socket of ours continues in
 * its place, with the sequence numbers, options and windows that TCP had agreed on (TCP_REPAIR, as checkpoint and
 * restore uses it). The client notices nothing; its bytes are in our socket's receive queue. No state; needs
 * CAP_NET_ADMIN.
 */
#ifndef ALPNBPF_STEERING_TAKEOVER_H
#define ALPNBPF_STEERING_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "steering.h"

/*
 * Are `size` bytes from the ring a valid record: are the lengths within it, and the numbers possible in TCP? The
 * functions below require a valid record.
 */
bool takeover_is_sound(const struct steer_takeover *takeover, size_t size);

/* The ends of the connection as socket addresses. */
struct address takeover_client(const struct steer_takeover *takeover);
struct address takeover_server(const struct steer_takeover *takeover);

/* Opens a raw socket for resets of a family (AF_INET, AF_INET6), which needs CAP_NET_RAW. The descriptor, or -errno. */
int takeover_open_raw(int family);

/*
 * Closes the server's socket: a reset as if from the client, at the sequence number `seq`, which must be the next one
 * that the socket expects (RFC 5961 section 3.2). 0 or -errno; takeover_socket() shows whether it worked.
 */
int takeover_reset_server(int raw, const struct steer_takeover *takeover, __u32 seq);

/* Acknowledges the client's bytes, which leaving repair mode does not do. 0 or -errno. */
int takeover_acknowledge(int raw, const struct steer_takeover *takeover);

/* Ends the connection: a reset to the client, as if from the server. 0 or -errno. */
int takeover_reset_client(int raw, const struct steer_takeover *takeover);

/*
 * Makes the socket that replaces the server's, with the client's bytes in its receive queue. Returns the descriptor,
 * non-blocking, which the caller owns; -EAGAIN while the server's socket exists; else -errno.
 */
int takeover_socket(const struct steer_takeover *takeover);

#endif
