/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The watch: reads ClientHellos in passing, on their way to the web server; attached while armed. It never changes a
 * packet. It does not touch connections that are for the web server; it drops the packets of a connection for another
 * route, which user space takes over (struct steer_takeover).
 *
 * It sees packets before TCP orders them: a segment of a hello that arrives out of order is dropped, as the network
 * might drop it, and is retransmitted.
 */
#ifndef ALPNBPF_WATCH_BPF_H
#define ALPNBPF_WATCH_BPF_H

#include <bpf/bpf_helpers.h>

#include "addresses.bpf.h"
#include "agreed.bpf.h"
#include "armed.bpf.h"
#include "own_connections.bpf.h"
#include "partial_hello.bpf.h"
#include "state.bpf.h"
#include "takeover.bpf.h"
#include "tcp_segment.bpf.h"

/* Our listeners and, by inheritance, the sockets they accept. User space adds listeners. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u8);
} alpnbpf_ownsock SEC(".maps");

/* Is it a connection to a listening address, and not our own? */
static __always_inline bool is_watched(const struct segment *segment)
{
	return rule_of(&segment->ends.to) && !is_own(&segment->ends);
}

/* A bit for every local port of connections to inspect. Written by user space. */
__u32 watched_ports[65536 / 32] = {};

static __always_inline bool is_watched_port(__u32 port)
{
	return *(volatile __u32 *)&watched_ports[(port & 0xffff) / 32] & 1U << (port & 31);
}

static __always_inline bool is_here(struct tcp_sock *tcp)
{
	/* Before Linux 6.14, no helper returns the cookie here. */
	return tcp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->net_cookie == netns_cookie;
}

/* Handles the first bytes of a connection. */
static __always_inline int look_at_first(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					 const struct bpf_tcp_sock *counts, const struct segment *segment)
{
	struct partial_hello *hello, *with_socket;
	struct steer_agreed agreed = {};
	__u32 zero = 0, skip = 0;

	hello = bpf_map_lookup_elem(&alpnbpf_scratch, &zero);
	if (!hello)
		return LET_THROUGH;
	if (sk->state == BPF_TCP_LISTEN) {
		if (!agreed_with_request(skb, segment, &agreed))
			return LET_THROUGH; /* from a SYN cookie: there is no request */
	} else {
		agreed_with_socket(tcp, counts, &agreed);
	}
	if ((__s32)(segment->seq - agreed.expected) < 0)
		return LET_THROUGH;
	/* Bytes before it are missing, or are in the backlog while the server's process holds the socket. */
	if (segment->seq != agreed.expected)
		return !agreed.deferred && tcp->inet_conn.icsk_inet.sk.sk_backlog.len ? LET_THROUGH : DROP;
	begin_hello(hello, segment);
	switch (read_hello(skb, segment, hello, &skip)) {
	case READ_DECIDED:
	case READ_NOTHING_NEW:
		return LET_THROUGH;
	case READ_TOO_EARLY:
		return DROP;
	case READ_KEPT:
		break;
	default:
		if (!can_take_over(sk, counts, segment, &agreed))
			return LET_THROUGH;
		return take_over(skb, segment, hello, &agreed, 0);
	}
	if (agreed.deferred) {
		hello->ends = segment->ends;
		hello->busy = 1; /* for give_hello_to_socket() */
		return LET_THROUGH;
	}
	with_socket = bpf_sk_storage_get(&alpnbpf_partial, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!with_socket) { /* no memory: rather miss a validation than lose a connection to the server */
		__sync_fetch_and_add(&state.untakable, 1);
		return LET_THROUGH;
	}
	bpf_probe_read_kernel(with_socket, sizeof(*with_socket), hello);
	return LET_THROUGH;
}

/* Handles further bytes of a hello. */
static __always_inline int look_at_next(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					const struct bpf_tcp_sock *counts, const struct segment *segment,
					struct partial_hello *hello)
{
	struct steer_agreed agreed = {};
	__u32 skip = 0;
	int verdict = DROP;

	if (__sync_fetch_and_add(&hello->busy, 1)) {
		__sync_fetch_and_add(&hello->busy, -1);
		return DROP;
	}
	switch (read_hello(skb, segment, hello, &skip)) {
	case READ_TOO_EARLY:
		break;
	case READ_DECIDED:
		bpf_sk_storage_delete(&alpnbpf_partial, sk);
		return LET_THROUGH;
	case READ_NOTHING_NEW:
	case READ_KEPT:
		verdict = LET_THROUGH;
		break;
	default:
		agreed_with_socket(tcp, counts, &agreed);
		if (!can_take_over(sk, counts, segment, &agreed)) {
			bpf_sk_storage_delete(&alpnbpf_partial, sk);
			return LET_THROUGH;
		}
		verdict = take_over(skb, segment, hello, &agreed, skip);
	}
	__sync_fetch_and_add(&hello->busy, -1);
	return verdict;
}

SEC("cgroup_skb/ingress")
int alpnbpf_watch(struct __sk_buff *skb)
{
	__u32 pending = steer_takeovers_pending(&state);
	struct partial_hello *hello;
	struct bpf_tcp_sock *counts;
	struct segment segment = {};
	struct tcp_sock *tcp;
	struct bpf_sock *sk = skb->sk;

	/* Not armed, and about to be detached: the server gets the rest of incomplete hellos. */
	if (!pending && !may_be_armed())
		return LET_THROUGH;
	if (!sk)
		return LET_THROUGH;
	sk = bpf_sk_fullsock(sk);
	/* sk_lookup may assign a connection to a listener with another port. */
	if (!sk || (sk->state != BPF_TCP_LISTEN && !is_watched_port(sk->src_port)))
		return LET_THROUGH;
	counts = bpf_tcp_sock(sk);
	if (!counts)
		return LET_THROUGH;
	hello = bpf_sk_storage_get(&alpnbpf_partial, sk, NULL, 0);
	/* Most packets end here: after the hello, or without payload. */
	if (!hello && !pending && (counts->bytes_received || !*(volatile __u32 *)&state.watching))
		return LET_THROUGH;
	if (!read_segment(skb, &segment) || (!pending && !segment.length))
		return LET_THROUGH;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || !is_here(tcp) || !read_addresses(skb, &segment))
		return LET_THROUGH;
	if (pending && is_being_taken(&segment.ends))
		return segment.flags & TCPHDR_RST ? LET_THROUGH : DROP;
	if (!segment.length || (segment.flags & (TCPHDR_SYN | TCPHDR_RST | TCPHDR_ACK)) != TCPHDR_ACK)
		return LET_THROUGH;
	/* The watch has ended, or another CPU has let more bytes through: the connection stays with the server. */
	if (hello && (!*(volatile __u32 *)&state.watching || (__s32)(counts->rcv_nxt - hello->next) > 0)) {
		bpf_sk_storage_delete(&alpnbpf_partial, sk);
		return LET_THROUGH;
	}
	if (hello)
		return is_intact(skb, &segment) ? look_at_next(skb, sk, tcp, counts, &segment, hello) : DROP;
	if (bpf_sk_storage_get(&alpnbpf_ownsock, sk, NULL, 0))
		return LET_THROUGH;
	if (counts->bytes_received || !*(volatile __u32 *)&state.watching || !is_armed() || !is_watched(&segment))
		return LET_THROUGH;
	return is_intact(skb, &segment) ? look_at_first(skb, sk, tcp, counts, &segment) : DROP;
}

/* In sock_ops, when a deferred connection gets its socket: this CPU has just read the segment that creates it. */
static __always_inline void give_hello_to_socket(struct bpf_sock_ops *ops, const struct steer_connection *ends)
{
	struct partial_hello *hello, *with_socket;
	struct bpf_sock *sk = ops->sk;
	__u32 zero = 0;

	hello = bpf_map_lookup_elem(&alpnbpf_scratch, &zero);
	if (!sk || !hello || !hello->busy)
		return;
	hello->busy = 0;
	if (hello->first != ops->rcv_nxt || !same_end(&hello->ends.from, &ends->from) ||
	    !same_end(&hello->ends.to, &ends->to))
		return;
	with_socket = bpf_sk_storage_get(&alpnbpf_partial, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (with_socket)
		bpf_probe_read_kernel(with_socket, sizeof(*with_socket), hello);
	else
		__sync_fetch_and_add(&state.untakable, 1);
}

#endif
