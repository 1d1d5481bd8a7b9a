/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel has of a connection of the web server's, a socket or a request, and its removal (NETLINK_SOCK_DIAG).
 * A request goes without a packet; a socket sends a reset, which bpf/hush.bpf.h holds back. No state: the caller owns
 * the descriptor, which only one thread uses. Removing needs CAP_NET_ADMIN, finding nothing.
 */
#ifndef ALPNBPF_STEERING_SERVER_SOCKET_H
#define ALPNBPF_STEERING_SERVER_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "steering.h"

struct server_socket {
	uint64_t cookie;
	bool is_request;
};

/* Opens a descriptor for the functions below, or returns -errno. */
int server_socket_open(void);

/*
 * Finds it by its ends. device: the interface it is bound to, or on which its packets arrive. 0, or -ENOENT if there
 * is none, even if a listener would get the packets; else -errno.
 */
int server_socket_find(int diag, const struct steer_connection *ends, uint32_t device, struct server_socket *found);

/*
 * Removes the one that was found, and no other. 0; -ENOENT if it is gone, even if these ends have another one by now;
 * -EOPNOTSUPP if this kernel cannot (CONFIG_INET_DIAG_DESTROY); else -errno.
 */
int server_socket_destroy(int diag, const struct steer_connection *ends, uint32_t device,
			  const struct server_socket *found);

/* Finds and removes it. 0 also if there is none. -ENOENT: something new came each time. Else -errno. */
int server_socket_remove(int diag, const struct steer_connection *ends, uint32_t device);

#endif
