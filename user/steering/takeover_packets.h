/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets of a takeover that no socket sends: resets as if from either end, and the acknowledgement of the bytes
 * that were taken over. No state; the caller owns the raw socket.
 */
#ifndef ALPNBPF_STEERING_TAKEOVER_PACKETS_H
#define ALPNBPF_STEERING_TAKEOVER_PACKETS_H

#include <stddef.h>

#include "base/address.h"
#include "steering.h"

/* Opens a raw socket for a family (AF_INET, AF_INET6), which needs CAP_NET_RAW. The descriptor, or -errno. */
int takeover_open_raw(int family);

/*
 * Closes the server's socket: a reset as if from the client, at the sequence number `seq`, which must be the next one
 * that the socket expects (RFC 5961 section 3.2). 0 or -errno; takeover_connect() shows whether it worked. The server's
 * address must be one of this machine's (system/route.h): else the reset would leave it.
 */
int takeover_reset_server(int raw, const struct steer_takeover *takeover, __u32 seq);

/*
 * Sends the acknowledgement of a held connection again over loopback, as if from the client. 0 or -errno. The same
 * holds for the server's address.
 */
int takeover_send_held(int raw, const struct steer_idle *idle);

#define TAKEOVER_HELD_MAX 60 /* headers of IPv6 and TCP */

/* Makes the same packet, with the ends that it has on the wire. Returns its length. */
size_t takeover_make_held(const struct steer_idle *idle, const struct address *from, const struct address *to,
			  unsigned char out[TAKEOVER_HELD_MAX]);

/*
 * Acknowledges the client's bytes, which no system call makes a socket do: its timestamps are those of `fd`, the socket
 * that continues the connection. 0 or -errno.
 */
int takeover_acknowledge(int raw, const struct steer_takeover *takeover, int fd);

/* Ends the connection: a reset to the client, as if from the server. 0 or -errno. */
int takeover_reset_client(int raw, const struct steer_takeover *takeover);

#endif
