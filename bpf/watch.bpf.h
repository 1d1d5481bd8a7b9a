/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The watch: reads ClientHellos in passing, on their way to the web server; attached while armed. It never changes a
 * packet. It does not touch connections that are for the web server, but for holding them (hold.bpf.h); it drops the
 * packets of a connection for another route, which user space takes over (struct steer_takeover).
 *
 * It sees packets before TCP does. It reads only what TCP will accept (acceptable.bpf.h), and lets everything else
 * through unread.
 */
#ifndef ALPNBPF_WATCH_BPF_H
#define ALPNBPF_WATCH_BPF_H

#include <bpf/bpf_helpers.h>

#include "addresses.bpf.h"
#include "acceptable.bpf.h"
#include "agreed.bpf.h"
#include "armed.bpf.h"
#include "guard.bpf.h"
#include "half.bpf.h"
#include "hold.bpf.h"
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

/* What sock_ops has to do, if the segment creates a socket (finish_beginning). */
static __always_inline int let_through_then(const struct segment *segment, struct scratch *scratch, __u32 after)
{
	scratch->record.ends = segment->ends;
	scratch->after = after;
	return LET_THROUGH;
}

/*
 * The first segment of a connection from a SYN cookie. There is nothing that could be taken over before TCP has made
 * the socket, with the hello: sock_ops takes over that, and its answers are held back.
 */
static __always_inline int take_over_later(struct __sk_buff *skb, const struct segment *segment,
					   struct scratch *scratch)
{
	struct steer_agreed none = {};

	describe_takeover(skb, segment, segment->seq, segment->seq + segment->length, &none, &scratch->record);
	if (!fill_takeover(skb, segment, &scratch->hello, &scratch->record, 0))
		return LET_THROUGH;
	return let_through_then(segment, scratch, AFTER_TAKE_OVER);
}

/* Stores the hello with its socket. */
static __always_inline int store_hello(struct __sk_buff *skb, struct bpf_sock *sk, const struct segment *segment,
				       struct scratch *scratch)
{
	struct partial_hello *stored;

	if (sk->state == BPF_TCP_LISTEN)
		return let_through_then(segment, scratch, AFTER_STORE);
	take_place(&segment->ends, scratch);
	give_up_displaced(skb, scratch);
	stored = bpf_sk_storage_get(&alpnbpf_partial, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (stored)
		bpf_probe_read_kernel(stored, sizeof(*stored), &scratch->hello);
	else /* rather miss a validation than lose a connection to the server */
		count_untakable(STEER_UNTAKABLE_MEMORY);
	return LET_THROUGH;
}

/* Handles the first bytes of a connection. */
static __always_inline int look_at_first(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					 const struct bpf_tcp_sock *counts, const struct segment *segment)
{
	struct scratch *scratch = own_scratch();
	struct steer_agreed agreed = {};
	struct partial_hello *half;
	struct progress progress;
	__u32 skip = 0, timeouts = 0;
	bool is_known = true; /* what was agreed on; else the segment brings a SYN cookie, and TCP decides about it */
	int verdict = DROP;

	if (!scratch)
		return LET_THROUGH;
	scratch->after = AFTER_NOTHING;
	give_up_displaced(skb, scratch);
	if (sk->state == BPF_TCP_LISTEN)
		is_known = agreed_with_request(skb, segment, &agreed, &timeouts);
	else
		agreed_with_socket(tcp, sk, counts, &agreed);
	if (!is_known)
		agreed.expected = segment->seq;
	else if (!counts->data_segs_out && !is_acceptable(skb, segment, &agreed))
		return LET_THROUGH;
	if ((__s32)(segment->seq - agreed.expected) < 0)
		return LET_THROUGH;
	if (agreed.deferred) {
		forget_held(&segment->ends);
		half = half_of(&segment->ends, &agreed);
		if (half) {
			if (!take_half(half))
				return DROP;
			if (half->first == agreed.expected) /* it may be another connection's by now */
				verdict = look_at_half(skb, segment, &agreed, half);
			let_half_go(half);
			return verdict;
		}
	}
	begin_hello(&scratch->hello, agreed.expected);
	progress = (struct progress){.expected = agreed.expected};
	switch (read_hello(skb, segment, &scratch->hello, &progress, &skip)) {
	case READ_KEPT:
		if (agreed.deferred && scratch->hello.parsed.acme_offered && !(segment->flags & TCPHDR_FIN) &&
		    can_take_over(sk, counts, &agreed) && has_queue_room(tcp) &&
		    begin_half(&segment->ends, &scratch->hello))
			return DROP;
		return store_hello(skb, sk, segment, scratch);
	case READ_EARLY:
		return store_hello(skb, sk, segment, scratch);
	case READ_TOO_EARLY:
		return DROP;
	case READ_TAKE_OVER:
		break;
	default:
		return LET_THROUGH;
	}
	if (!is_known)
		return take_over_later(skb, segment, scratch);
	if (!can_take_over(sk, counts, &agreed))
		return LET_THROUGH;
	return take_over(skb, segment, &scratch->hello, &agreed, skip) ||
			       scratch->hello.trial.result == CLIENTHELLO_ACME
		       ? DROP
		       : LET_THROUGH;
}

/* Handles further bytes of a hello. */
static __always_inline int look_at_next(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					const struct bpf_tcp_sock *counts, const struct segment *segment,
					struct partial_hello *hello)
{
	struct progress progress = {.expected = counts->rcv_nxt,
				    .has_backlog = tcp->inet_conn.icsk_inet.sk.sk_backlog.len != 0};
	struct steer_agreed agreed = {};
	__u32 skip = 0;

	agreed_with_socket(tcp, sk, counts, &agreed);
	if (!counts->data_segs_out && !is_acceptable(skb, segment, &agreed))
		return LET_THROUGH;
	switch (read_hello(skb, segment, hello, &progress, &skip)) {
	case READ_TOO_EARLY:
		return DROP;
	case READ_DECIDED:
		break;
	case READ_TAKE_OVER:
		if (!can_take_over(sk, counts, &agreed))
			break;
		if (take_over(skb, segment, hello, &agreed, skip) || hello->trial.result == CLIENTHELLO_ACME)
			return DROP;
		break;
	default:
		return LET_THROUGH;
	}
	bpf_sk_storage_delete(&alpnbpf_partial, sk);
	return LET_THROUGH;
}

/* Packets of a connection come one after the other, unless they change the CPU: then the second finds it busy. */
static __always_inline int look_at_next_alone(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					      const struct bpf_tcp_sock *counts, const struct segment *segment,
					      struct partial_hello *hello)
{
	int verdict = DROP;

	if (__sync_fetch_and_add(&hello->busy, 1) == 0)
		verdict = look_at_next(skb, sk, tcp, counts, segment, hello);
	__sync_fetch_and_add(&hello->busy, -1);
	return verdict;
}

/* Of a connection that is not being taken over, and whose first bytes have not been read yet. */
static __always_inline bool should_look(const struct bpf_sock *sk, const struct segment *segment)
{
	return *(volatile __u32 *)&state.watching && !bpf_sk_storage_get(&alpnbpf_ownsock, (void *)sk, NULL, 0) &&
	       is_armed() && is_watched(segment);
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
	bool guarded;

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
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!counts || !tcp)
		return LET_THROUGH;
	hello = bpf_sk_storage_get(&alpnbpf_partial, sk, NULL, 0);
	guarded = is_guarded(tcp, counts);
	/* Most packets end here, because the hello was read. */
	if (!hello && !pending && !guarded && (counts->bytes_received || !*(volatile __u32 *)&state.watching))
		return LET_THROUGH;
	if (!read_segment(skb, &segment) ||
	    (!pending && !guarded && !segment.length && sk->state != BPF_TCP_LISTEN && !counts->data_segs_out))
		return LET_THROUGH;
	if (!is_here(tcp) || !read_addresses(skb, &segment))
		return LET_THROUGH;
	if (guarded && guard_refuses(skb, &segment))
		return DROP;
	if (pending && is_being_taken(&segment.ends))
		return segment.flags & TCPHDR_RST ? LET_THROUGH : DROP;
	if (pending && is_left(&segment.ends, sk, counts)) {
		if (hello)
			bpf_sk_storage_delete(&alpnbpf_partial, sk);
		return LET_THROUGH;
	}
	if ((segment.flags & (TCPHDR_SYN | TCPHDR_RST | TCPHDR_ACK)) != TCPHDR_ACK) {
		if (sk->state != BPF_TCP_LISTEN || !should_look(sk, &segment))
			return LET_THROUGH;
		return would_end_held(skb, &segment) ? DROP : LET_THROUGH;
	}
	if (hello && !segment.length)
		return LET_THROUGH;
	if (hello) {
		/* The watch has ended, or TCP got bytes unread: the connection stays with the server. */
		if (!*(volatile __u32 *)&state.watching || (__s32)(counts->rcv_nxt - hello->next) > 0) {
			if (*(volatile __u32 *)&state.watching)
				count_untakable(STEER_UNTAKABLE_OUT_OF_STEP);
			bpf_sk_storage_delete(&alpnbpf_partial, sk);
			return LET_THROUGH;
		}
		return is_intact(skb, &segment) ? look_at_next_alone(skb, sk, tcp, counts, &segment, hello)
						: LET_THROUGH;
	}
	if (counts->bytes_received || !should_look(sk, &segment))
		return LET_THROUGH;
	if (segment.length)
		return is_intact(skb, &segment) ? look_at_first(skb, sk, tcp, counts, &segment) : LET_THROUGH;
	if (sk->state == BPF_TCP_LISTEN && segment.flags & TCPHDR_FIN) {
		if (is_end_of_held(skb, &segment))
			forget_held(&segment.ends);
		return LET_THROUGH;
	}
	if (sk->state == BPF_TCP_LISTEN)
		return should_hold(skb, tcp, &segment) ? DROP : LET_THROUGH;
	/* An answer to bytes of the server's, before any of the client's. Else it is idle, or ends. */
	if (counts->data_segs_out)
		*(volatile __u32 *)&state.speaks_first = 1;
	return LET_THROUGH;
}

/* From sock_ops, when TCP makes a socket: does what the segment that made it has left to do. */
static __always_inline void finish_beginning(struct bpf_sock_ops *ops, const struct steer_connection *ends)
{
	struct scratch *scratch = own_scratch();
	struct bpf_sock *sk = ops->sk;
	struct partial_hello *stored;
	struct bpf_tcp_sock *counts;
	struct tcp_sock *tcp;
	__u32 after;

	if (!sk || !scratch || scratch->after == AFTER_NOTHING)
		return;
	after = scratch->after;
	scratch->after = AFTER_NOTHING;
	if (scratch->hello.first != ops->rcv_nxt || !same_end(&scratch->record.ends.from, &ends->from) ||
	    !same_end(&scratch->record.ends.to, &ends->to))
		return;
	if (after == AFTER_STORE) {
		take_place(&scratch->record.ends, scratch);
		stored = bpf_sk_storage_get(&alpnbpf_partial, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (stored)
			bpf_probe_read_kernel(stored, sizeof(*stored), &scratch->hello);
		else
			count_untakable(STEER_UNTAKABLE_MEMORY);
		return;
	}
	counts = bpf_tcp_sock(sk);
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!counts || !tcp)
		return;
	agreed_with_socket(tcp, sk, counts, &scratch->record.agreed);
	if (scratch->record.agreed.mptcp) {
		count_untakable(STEER_UNTAKABLE_MPTCP);
		return;
	}
	scratch->record.agreed.expected = scratch->record.passed;
	if (scratch->record.agreed.window_scaling)
		scratch->record.window <<= scratch->record.agreed.send_scale & 15;
	if (publish_takeover(&scratch->record) != PUBLISHED) /* the server has the hello: it does not come again */
		count_untakable(STEER_UNTAKABLE_MEMORY);
}

#endif
