/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Our own connections to the web server: known by their ends, with the client that each is made for. */
#ifndef ALPNBPF_OWN_CONNECTIONS_BPF_H
#define ALPNBPF_OWN_CONNECTIONS_BPF_H

#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"
#include "state.bpf.h"

/*
 * Connections of ours to the web server. An entry outlives its connection for a while, because the server may accept
 * one that is already over. A connection between the same ends again replaces or removes it, before the SYN leaves.
 * sock_ops and user space write it: user space where sock_ops is not to be had, and to remove entries, never while one
 * with the same ends is made.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct steer_connection);
	__type(value, struct steer_client);
} alpnbpf_own SEC(".maps");

/* Written by user space: cookie of a socket that is about to connect; becomes an entry of `alpnbpf_own` before the SYN
 * leaves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct steer_connecting);
} alpnbpf_connect SEC(".maps");

/* Connections of ours may be entered in `alpnbpf_own` for this port of the web server. */
static __always_inline bool may_be_own(__u16 port)
{
	const volatile struct steer_state *now = &state;

	return port == now->https_port || port == now->https_port_before;
}

static __always_inline bool is_own(const struct steer_connection *ends)
{
	return bpf_map_lookup_elem(&alpnbpf_own, ends) != NULL;
}

/* tcp_connect() asks before the SYN leaves, when the port is chosen. */
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
	if (!entry) { /* another program's, whose ends may have been ours */
		bpf_map_delete_elem(&alpnbpf_own, &made);
		return;
	}
	value.client = entry->client;
	if (bpf_map_update_elem(&alpnbpf_own, &made, &value, BPF_ANY) == 0)
		entry->made = made; /* else there is no memory: user space gives the connection up */
}

#endif
