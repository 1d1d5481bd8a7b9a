/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When the web server asks for the peer of a connection of ours, by getpeername() or accept(), it gets the client's
 * address.
 */
#ifndef ALPNBPF_PEERNAME_BPF_H
#define ALPNBPF_PEERNAME_BPF_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"
#include "own_connections.bpf.h"
#include "state.bpf.h"

/* The client for which we made this connection, or NULL if it is not ours. `made.from` holds the peer's address. */
static __always_inline struct steer_endpoint *client_of(struct bpf_sock_addr *ctx, struct steer_connection *made)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	struct steer_client *known;
	__u16 port;

	/* Not sk->src_port: that is 0 after a reset (inet_put_port), and the connection may still be accepted. */
	if (!tcp)
		return NULL;
	port = bpf_ntohs(tcp->inet_conn.icsk_inet.inet_sport);
	if (!port || !may_be_own(port))
		return NULL;
	if (bpf_get_netns_cookie(ctx) != netns_cookie)
		return NULL;
	made->from.port = bpf_ntohs((__be16)ctx->user_port);
	made->to.port = port;
	SET_ADDRESS(&made->to, sk->family, sk->src_ip4, sk->src_ip6);
	known = bpf_map_lookup_elem(&alpnbpf_own, made);
	return known ? &known->client : NULL;
}

SEC("cgroup/getpeername4")
int alpnbpf_peer4(struct bpf_sock_addr *ctx)
{
	struct steer_connection made = {};
	struct steer_endpoint *client;

	set_v4(&made.from, ctx->user_ip4);
	client = client_of(ctx, &made);
	if (client && is_v4(client)) {
		ctx->user_ip4 = client->addr[3];
		ctx->user_port = bpf_htons(client->port);
	}
	return 1;
}

/* A dual-stack socket shows IPv4 clients as v4-mapped, which is also the form in the map. */
SEC("cgroup/getpeername6")
int alpnbpf_peer6(struct bpf_sock_addr *ctx)
{
	struct steer_connection made = {};
	struct steer_endpoint *client;

	made.from.addr[0] = ctx->user_ip6[0];
	made.from.addr[1] = ctx->user_ip6[1];
	made.from.addr[2] = ctx->user_ip6[2];
	made.from.addr[3] = ctx->user_ip6[3];
	client = client_of(ctx, &made);
	if (client) {
		ctx->user_ip6[0] = client->addr[0];
		ctx->user_ip6[1] = client->addr[1];
		ctx->user_ip6[2] = client->addr[2];
		ctx->user_ip6[3] = client->addr[3];
		ctx->user_port = bpf_htons(client->port);
	}
	return 1;
}

#endif
