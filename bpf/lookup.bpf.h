/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sk_lookup: selects the listener of a new connection. Runs once for each SYN to this namespace, to any port. */
#ifndef ALPNBPF_LOOKUP_BPF_H
#define ALPNBPF_LOOKUP_BPF_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "addresses.bpf.h"
#include "armed.bpf.h"
#include "endpoint.bpf.h"
#include "own_connections.bpf.h"
#include "takeover.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_FAMILIES); /* per worker; see STEER_PRIVATE. Written by user space at start-up */
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_private SEC(".maps");

static __always_inline void ends_of(struct bpf_sk_lookup *ctx, struct steer_connection *ends)
{
	ends->from.port = bpf_ntohs((__be16)ctx->remote_port);
	ends->to.port = (__u16)ctx->local_port;
	SET_ADDRESS(&ends->from, ctx->family, ctx->remote_ip4, ctx->remote_ip6);
	SET_ADDRESS(&ends->to, ctx->family, ctx->local_ip4, ctx->local_ip6);
}

/*
 * For a packet of a connection that is being taken over, after its old socket has gone and before the new one exists.
 */
static __always_inline void to_silent(struct bpf_sk_lookup *ctx)
{
	__u32 key = ctx->family == AF_INET ? STEER_V4 : STEER_V6;
	struct bpf_sock *sk = bpf_map_lookup_elem(&alpnbpf_silent, &key);

	if (!sk)
		return;
	bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
}

static __always_inline void to_private(struct bpf_sk_lookup *ctx)
{
	__u32 key = STEER_PRIVATE(0, ctx->family == AF_INET ? STEER_V4 : STEER_V6);
	struct bpf_sock *sk = bpf_map_lookup_elem(&alpnbpf_private, &key);

	if (!sk)
		return;
	/*
	 * The first worker's listener represents its reuseport group: the kernel selects among all workers
	 * (inet_lookup_run_sk_lookup).
	 */
	if (bpf_sk_assign(ctx, sk, 0) == 0)
		__sync_fetch_and_add(&state.steered, 1);
	bpf_sk_release(sk);
}

/*
 * To the first listener of the web server that accepts this family, if --https has an address of it. Without one, our
 * own listener gets the connection.
 */
static __always_inline void to_web_server(struct bpf_sk_lookup *ctx)
{
	__u32 family = ctx->family == AF_INET ? STEER_V4 : STEER_V6;

	if (!(*(volatile __u32 *)&state.https_families & 1U << family))
		return;
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i;
		struct bpf_sock *sk = bpf_map_lookup_elem(&alpnbpf_https, &key);
		long error;

		if (!sk)
			continue;
		error = bpf_sk_assign(ctx, sk, 0);
		bpf_sk_release(sk);
		if (!error)
			return;
	}
}

SEC("sk_lookup")
int alpnbpf_steer(struct bpf_sk_lookup *ctx)
{
	bool watching = with_watch && *(volatile __u32 *)&state.watching;
	struct steer_connection ends = {};
	__u32 rule;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	if (!ctx->remote_port) /* no client: alpnbpf_owner asks which listener a connection of ours would reach */
		return SK_PASS;
	if (with_watch && steer_takeovers_pending(&state)) {
		ends_of(ctx, &ends);
		if (is_being_taken(&ends)) {
			to_silent(ctx);
			return SK_PASS;
		}
	}
	if (!with_bypass && (watching || !is_armed()))
		return SK_PASS;
	ends_of(ctx, &ends);
	rule = rule_of(&ends.to);
	if (rule == STEER_IN_PLACE && !watching && is_armed() && !is_own(&ends))
		to_private(ctx);
	else if (rule == STEER_BYPASS && (watching || !is_armed()))
		to_web_server(ctx);
	return SK_PASS;
}

#endif
