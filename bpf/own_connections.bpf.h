/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Our own connections to the web server, each with the client it is made for. */
#ifndef ALPNBPF_OWN_CONNECTIONS_BPF_H
#define ALPNBPF_OWN_CONNECTIONS_BPF_H

#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"
#include "state.bpf.h"

/*
 * Our connections to the web server. An entry outlives its connection for a while, because the server may accept a
 * connection that has already ended. A later connection between the same ends replaces or removes the entry, before its
 * SYN is sent. Written by sock_ops and user space: user space adds entries if sock_ops is not available, and removes
 * entries, never while one with the same ends is added.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct steer_connection);
	__type(value, struct steer_client);
} alpnbpf_own SEC(".maps");

/*
 * By the cookie of a socket that is about to connect; becomes an entry of `alpnbpf_own` before the SYN is sent. Written
 * by user space.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct steer_connecting);
} alpnbpf_connect SEC(".maps");

/* May `alpnbpf_own` have entries for this port of the web server? */
static __always_inline bool may_be_own(__u16 port)
{
	const volatile struct steer_state *now = &state;

	return port == now->https_port || port == now->https_port_before;
}

static __always_inline bool is_own(const struct steer_connection *ends)
{
	return bpf_map_lookup_elem(&alpnbpf_own, ends) != NULL;
}

/* Called by tcp_connect() once the port is chosen, before the SYN is sent. */
static __always_inline void own_connection_begins(struct bpf_sock_ops *ops)
{
	struct steer_client value = {.cookie = bpf_get_socket_cookie(ops)};
	struct steer_connecting *entry = bpf_map_lookup_elem(&alpnbpf_connect, &value.cookie);
	__u16 port = (__u16)bpf_ntohl(ops->remote_port);
	struct steer_connection made;

	if (!entry && !may_be_own(port))
		return;
	local_end(ops, &made.from);
	remote_end(ops, &made.to);
	if (!entry) { /* of another program, which may reuse our ends */
		bpf_map_delete_elem(&alpnbpf_own, &made);
		return;
	}
	value.client = entry->client;
	if (bpf_map_update_elem(&alpnbpf_own, &made, &value, BPF_ANY) == 0)
		entry->made = made; /* otherwise there is no memory, and user space gives up the connection */
}

#endif
