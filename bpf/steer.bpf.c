// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Steering: who gets a new connection to a listened port. sk_lookup decides, for one network namespace; sock_ops on the
 * cgroup root sees the ACME port listened on, the web server's listeners come, and our own connections begin; user
 * space asks for the listeners that were there before. getpeername shows the web server the real client while its
 * connections come through us.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"
#include "listener_maps.bpf.h"
#include "steering.h"
#include "tcp_segment.bpf.h"

#define TCP_LISTEN 10

/* Set between open and load. */
const volatile __u64 netns_cookie = 0;
const volatile __u8 with_bypass = 0;
const volatile __u8 with_watch = 0; /* hellos may be read as they pass; `state.watching` says whether they are */

struct steer_state state = {};

/* addr:port that is steered, exact or wildcard -> enum steer_rule; filled before sk_lookup is attached. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct steer_endpoint);
	__type(value, __u32);
} listened SEC(".maps");

/* Addresses (port 0) at which the web server may listen to be the one that --https means. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct steer_endpoint);
	__type(value, __u8);
} https_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_FAMILIES); /* of each worker; see STEER_PRIVATE */
	__type(key, __u32);
	__type(value, __u64);
} private_listeners SEC(".maps");

/*
 * Connections of ours to the web server. An entry outlives its connection for a while: the server may accept one that
 * is over. Whoever connects between the same ends again replaces or removes it, before the SYN leaves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct steer_connection);
	__type(value, struct steer_client);
} ours SEC(".maps");

/* Cookie of a socket that is about to connect: becomes an entry of `ours` before the SYN leaves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct steer_connecting);
} connecting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} arming SEC(".maps");

/* Would --https reach a listener bound to this address? */
static __always_inline bool is_https_address(const struct steer_endpoint *at)
{
	struct steer_endpoint key = *at;

	key.port = 0;
	return is_wildcard(&key) || bpf_map_lookup_elem(&https_addresses, &key);
}

/* --- sk_lookup: once for each SYN to this namespace, whatever its port --- */

/* False: we are not. True: somebody has to look. */
static __always_inline bool may_be_armed(void)
{
	return *(volatile __u32 *)&state.always ||
	       *(volatile __u64 *)&state.unwatched != *(volatile __u64 *)&state.missed ||
	       *(volatile __u64 *)&state.arrivals != *(volatile __u64 *)&state.cleared;
}

static __noinline bool is_armed(void)
{
	__u64 arrivals;

	if (!may_be_armed())
		return false;
	if (*(volatile __u32 *)&state.always || *(volatile __u64 *)&state.unwatched != *(volatile __u64 *)&state.missed)
		return true;
	arrivals = __sync_fetch_and_add(&state.arrivals, 0); /* a barrier: read before the slots are */
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i; /* older verifiers lose sight of a counter whose address is taken */
		struct bpf_sock *sk = bpf_map_lookup_elem(&acme_listeners, &key);

		if (sk) {
			bpf_sk_release(sk);
			return true;
		}
	}
	*(volatile __u64 *)&state.cleared = arrivals;
	return false;
}

/* Of a connection to `to`: enum steer_rule, or 0. */
static __noinline __u32 rule_of(const struct steer_endpoint *to)
{
	__u32 *rule = bpf_map_lookup_elem(&listened, to);

	if (!rule) {
		struct steer_endpoint any = {.port = to->port};

		any.addr[2] = is_v4(to) ? bpf_htonl(0xffff) : 0;
		rule = bpf_map_lookup_elem(&listened, &any);
	}
	return rule ? *rule : 0;
}

/* Connections of ours may be entered in `ours` for this port of the web server. */
static __always_inline bool may_be_ours(__u16 port)
{
	return port == *(volatile __u16 *)&state.https_port || port == *(volatile __u16 *)&state.https_port_before;
}

#include "hello_watch.bpf.h"
#include "peername.bpf.h"

static __always_inline void ends_of(struct bpf_sk_lookup *ctx, struct steer_connection *ends)
{
	ends->from.port = bpf_ntohs((__be16)ctx->remote_port);
	ends->to.port = (__u16)ctx->local_port;
	SET_ADDRESS(&ends->from, ctx->family, ctx->remote_ip4, ctx->remote_ip6);
	SET_ADDRESS(&ends->to, ctx->family, ctx->local_ip4, ctx->local_ip6);
}

/* A packet of a connection that is being taken over: its old socket is gone, the new one not yet there. */
static __always_inline void to_pit(struct bpf_sk_lookup *ctx)
{
	__u32 key = ctx->family == AF_INET ? STEER_V4 : STEER_V6;
	struct bpf_sock *sk = bpf_map_lookup_elem(&pits, &key);

	if (!sk)
		return;
	bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
}

static __always_inline void to_private(struct bpf_sk_lookup *ctx)
{
	__u32 key = STEER_PRIVATE(0, ctx->family == AF_INET ? STEER_V4 : STEER_V6);
	struct bpf_sock *sk = bpf_map_lookup_elem(&private_listeners, &key);

	if (!sk)
		return;
	/* The first worker's; any of its group will do: the kernel chooses among the workers' listeners
	 * (inet_lookup_run_sk_lookup). */
	if (bpf_sk_assign(ctx, sk, 0) == 0)
		__sync_fetch_and_add(&state.steered, 1);
	bpf_sk_release(sk);
}

/* The first of the web server's listeners that takes this family; without one, the connection is ours as ever. */
static __always_inline void to_web_server(struct bpf_sk_lookup *ctx)
{
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i;
		struct bpf_sock *sk = bpf_map_lookup_elem(&https_listeners, &key);
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
int steer(struct bpf_sk_lookup *ctx)
{
	bool watching = with_watch && *(volatile __u32 *)&state.watching;
	struct steer_connection ends = {};
	__u32 rule;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	if (with_watch && *(volatile __u32 *)&state.taking) {
		ends_of(ctx, &ends);
		if (bpf_map_lookup_elem(&taken, &ends)) {
			to_pit(ctx);
			return SK_PASS;
		}
	}
	if (!with_bypass && (watching || !is_armed()))
		return SK_PASS;
	ends_of(ctx, &ends);
	rule = rule_of(&ends.to);
	if (rule == STEER_IN_PLACE && !watching && is_armed() && !bpf_map_lookup_elem(&ours, &ends))
		to_private(ctx);
	else if (rule == STEER_BYPASS && (watching || !is_armed()))
		to_web_server(ctx);
	return SK_PASS;
}

/* --- sock_ops: what happens on this machine --- */

static __always_inline void local_end(struct bpf_sock_ops *ops, struct steer_endpoint *end)
{
	SET_ADDRESS(end, ops->family, ops->local_ip4, ops->local_ip6);
	end->port = (__u16)ops->local_port;
	end->pad = 0;
}

static __always_inline void remote_end(struct bpf_sock_ops *ops, struct steer_endpoint *end)
{
	SET_ADDRESS(end, ops->family, ops->remote_ip4, ops->remote_ip6);
	end->port = (__u16)bpf_ntohl(ops->remote_port);
	end->pad = 0;
}

static __always_inline void tell_arrival(const struct steer_endpoint *at, enum steer_kind kind, bool watched)
{
	struct steer_arrival arrival = {.at = *at, .watched = watched, .kind = kind};

	bpf_ringbuf_output(&arming, &arrival, sizeof(arrival), 0);
}

static __always_inline bool keep_listener(struct bpf_sock_ops *ops, enum steer_kind kind)
{
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i;
		long error;

		if (kind == STEER_ACME)
			error = bpf_sock_map_update(ops, &acme_listeners, &key, BPF_NOEXIST);
		else
			error = bpf_sock_map_update(ops, &https_listeners, &key, BPF_NOEXIST);
		if (!error)
			return true;
	}
	return false;
}

static __always_inline void acme_listener_came(struct bpf_sock_ops *ops, const struct steer_endpoint *at)
{
	bool kept = keep_listener(ops, STEER_ACME);

	/* After the slot is filled; see struct steer_state. */
	if (kept)
		__sync_fetch_and_add(&state.arrivals, 1);
	else
		__sync_fetch_and_add(&state.unwatched, 1);
	tell_arrival(at, STEER_ACME, kept);
}

/* One that is not kept is not bypassed to. */
static __always_inline void https_listener_came(struct bpf_sock_ops *ops, const struct steer_endpoint *at)
{
	struct bpf_sock *sk = ops->sk;

	/* A connection from elsewhere does not reach it, and a bypass must not bring one there. */
	if (!sk || sk->bound_dev_if || !keep_listener(ops, STEER_HTTPS))
		tell_arrival(at, STEER_HTTPS, false);
}

static __always_inline void listener_came(struct bpf_sock_ops *ops)
{
	struct steer_endpoint at;

	local_end(ops, &at);
	if (at.port == *(volatile __u16 *)&state.acme_port)
		acme_listener_came(ops, &at);
	else if (with_bypass && at.port == *(volatile __u16 *)&state.https_port && is_https_address(&at))
		https_listener_came(ops, &at);
}

/* tcp_connect() asks before the SYN leaves, when the port is chosen. */
static __always_inline void connection_begins(struct bpf_sock_ops *ops)
{
	struct steer_client value = {.cookie = bpf_get_socket_cookie(ops)};
	struct steer_connecting *entry = bpf_map_lookup_elem(&connecting, &value.cookie);
	__u16 port = (__u16)bpf_ntohl(ops->remote_port);
	struct steer_connection made;

	if (!entry && !may_be_ours(port))
		return;
	local_end(ops, &made.from);
	remote_end(ops, &made.to);
	if (!entry) { /* another program's, whose ends may have been ours */
		bpf_map_delete_elem(&ours, &made);
		return;
	}
	value.client = entry->client;
	if (bpf_map_update_elem(&ours, &made, &value, BPF_ANY) == 0)
		entry->made = made; /* else there is no memory: user space gives the connection up */
}

SEC("sockops")
int watch(struct bpf_sock_ops *ops)
{
	struct steer_connection ends;

	if (ops->op != BPF_SOCK_OPS_TCP_LISTEN_CB && ops->op != BPF_SOCK_OPS_TCP_CONNECT_CB &&
	    (!with_watch || ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || !*(volatile __u32 *)&state.watching))
		return 1;
	if (bpf_get_netns_cookie(ops) != netns_cookie)
		return 1;
	if (ops->op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		listener_came(ops);
	} else if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		connection_begins(ops);
	} else {
		remote_end(ops, &ends.from);
		local_end(ops, &ends.to);
		connection_made(ops, &ends);
	}
	return 1;
}

/* --- what user space asks, by a test run --- */

/* Connections that a private listener has begun and not handed over: their handshake or first byte is to come. */
SEC("tc")
int alpnbpf_pending(struct __sk_buff *skb)
{
	__u32 key = state.asked_index, count = 0;
	struct bpf_sock *sk = bpf_map_lookup_elem(&private_listeners, &key);
	struct tcp_sock *tcp;

	(void)skb;
	if (!sk)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp)
		count = (__u32)tcp->inet_conn.icsk_accept_queue.qlen.counter +
			tcp->inet_conn.icsk_inet.sk.sk_ack_backlog;
	bpf_sk_release(sk);
	return (int)count;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
