/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket that continues a connection of the web server's: with the sequence numbers, options and windows that TCP
 * had agreed on (TCP_REPAIR, as checkpoint and restore uses it), and the client's bytes in its receive queue. The
 * client notices nothing. No state; in the repair helper:
 *
 *     takeover_prepare()   what can fail for lack of something, while the web server still has the connection
 *     takeover_connect()   fails until the web server's socket is gone
 *     takeover_fill()      the client's bytes
 *     takeover_finish()    from now on it sends
 *
 * Closed before the last of these, it sends nothing.
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

/* A socket with the server's end, its mark and its device. The descriptor, which the caller owns, or -errno. */
int takeover_prepare(const struct steer_takeover *takeover);
/*
 * 0; -EADDRNOTAVAIL while something else has the same ends, else -errno, mostly of routing: both may be tried again.
 */
int takeover_connect(int fd, const struct steer_takeover *takeover);
/* Has a reset closed it? One for the server's socket may be late, and meets ours. */
bool takeover_is_closed(int fd);
/* 0, or -errno: then a new socket is needed. */
int takeover_fill(int fd, const struct steer_takeover *takeover);
/* The packets of the connection must be let through by then: it asks the client for its state. 0 or -errno. */
int takeover_finish(int fd);

#endif
