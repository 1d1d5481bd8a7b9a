/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hold: while armed, the bare acknowledgement that ends a handshake is dropped, as TCP_DEFER_ACCEPT does. The
 * connection stays a request of the kernel until its hello, and a request can be removed without a packet
 * (docs/KERNEL.md 11). The hello acknowledges the same, so the client notices nothing.
 *
 * A hello usually comes with the acknowledgement. If it has not come after STEER_HELD_MS, user space sends the
 * acknowledgement again, and it is let through. That soon, because a request lives less safely than a socket: the
 * kernel measures the round trip by what ends it, drops it if the SYN-ACK cannot be sent again after a second, and
 * resets it if the listener closes.
 */
#ifndef ALPNBPF_HOLD_BPF_H
#define ALPNBPF_HOLD_BPF_H

#include <bpf/bpf_helpers.h>

#include "acceptable.bpf.h"
#include "agreed.bpf.h"
#include "state.bpf.h"

struct held {
	struct bpf_timer timer;
	struct steer_idle idle;
	__u32 is_released;
};

/* Connections that are held, and for a while those that were. Written by the watch and its timers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_HELD_MOST);
	__type(key, struct steer_connection);
	__type(value, struct held);
} alpnbpf_held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 128 * 1024);
} alpnbpf_idle SEC(".maps");

#define CLOCK_MONOTONIC 1
#define HELD_NS         (STEER_HELD_MS * 1000000ULL)
#define RELEASED_NS     (5 * 1000000000ULL) /* longer than the kernel retransmits the SYN-ACK, if all else fails */

static int held_expired(void *map, struct steer_connection *ends, struct held *held)
{
	if (held->is_released || bpf_ringbuf_output(&alpnbpf_idle, &held->idle, sizeof(held->idle), 0)) {
		bpf_map_delete_elem(map, ends);
		return 0;
	}
	__sync_fetch_and_add(&state.released, 1);
	held->is_released = 1;
	bpf_timer_start(&held->timer, RELEASED_NS, 0);
	return 0;
}

/* The connection has gone on, or has ended. */
static __always_inline void forget_held(const struct steer_connection *ends)
{
	bpf_map_delete_elem(&alpnbpf_held, ends);
}

/*
 * False if it cannot be released later; then it must not be held. The hello may be here already, on another CPU, and
 * have removed the entry: then the acknowledgement is not needed any more, and would make a socket of the request.
 */
static __noinline bool note_held(struct __sk_buff *skb, const struct segment *segment)
{
	struct held fresh = {.idle = {.ends = segment->ends,
				      .ifindex = skb->ifindex,
				      .seq = segment->seq,
				      .acknowledged = segment->ack,
				      .window = segment->window}},
		    *held;

	if (bpf_map_update_elem(&alpnbpf_held, &segment->ends, &fresh, BPF_NOEXIST))
		return false;
	held = bpf_map_lookup_elem(&alpnbpf_held, &segment->ends);
	if (!held)
		return true;
	if (!bpf_timer_init(&held->timer, &alpnbpf_held, CLOCK_MONOTONIC) &&
	    !bpf_timer_set_callback(&held->timer, held_expired) && !bpf_timer_start(&held->timer, HELD_NS, 0))
		return true;
	if (bpf_map_delete_elem(&alpnbpf_held, &segment->ends)) /* gone: the hello is here */
		return true;
	/* From 6.18 on, a timer's memory may be refused at any time (kmalloc_nolock). */
	__sync_fetch_and_add(&state.released, 1);
	return false;
}

/*
 * Requests take places in the listener's queue (qlen). When these run out, the kernel drops SYNs, or sends cookies; so
 * at half of either limit nothing is held (inet_csk_reqsk_queue_is_full, tcp_conn_request).
 */
static __always_inline bool has_queue_room(struct tcp_sock *listener)
{
	__u32 waiting = (__u32)listener->inet_conn.icsk_accept_queue.qlen.counter;
	struct sock *sk = &listener->inet_conn.icsk_inet.sk;

	return waiting * 2 <= sk->sk_max_ack_backlog &&
	       waiting * 2 <= (__u32)sk->__sk_common.skc_net.net->ipv4.sysctl_max_syn_backlog;
}

/* Is it the acknowledgement that the entry is of, not one of a later connection with the same ends? */
static __always_inline bool is_of(const struct held *held, const struct segment *segment)
{
	return held->idle.seq == segment->seq && held->idle.acknowledged == segment->ack;
}

/*
 * Not for MPTCP, whose requests cannot be taken over. Not for a request that is bound to a device, or of a link-local
 * client: what user space sends over loopback would not find it, and the kernel would reset the client. From a SYN
 * cookie there is no request.
 */
static __always_inline bool should_hold(struct __sk_buff *skb, struct tcp_sock *listener, const struct segment *segment)
{
	struct held *held = bpf_map_lookup_elem(&alpnbpf_held, &segment->ends);
	struct steer_agreed agreed = {};
	__u32 timeouts = 0;

	if (held && is_of(held, segment) && !held->is_released)
		return true; /* the client repeats it */
	if (held)
		forget_held(&segment->ends);
	if (held && is_of(held, segment))
		return false; /* it is the one that user space sends */
	if (*(volatile __u32 *)&state.speaks_first || !has_queue_room(listener) ||
	    !agreed_with_request(skb, segment, &agreed, &timeouts))
		return false;
	if (timeouts || agreed.mptcp || agreed.device || segment->seq != agreed.expected ||
	    !is_acceptable(skb, segment, &agreed))
		return false;
	if (!note_held(skb, segment))
		return false;
	__sync_fetch_and_add(&state.held, 1);
	return true;
}

/*
 * A request is easier to end than a connection: any RST or SYN within its window does it (tcp_check_req), where a
 * socket wants the exact sequence number (RFC 5961). What is held must not be weaker for it: such a segment is dropped.
 */
static __always_inline bool would_end_held(struct __sk_buff *skb, const struct segment *segment)
{
	struct steer_agreed agreed = {};
	__u32 timeouts = 0;

	if (!agreed_with_request(skb, segment, &agreed, &timeouts))
		return false;
	if (segment->flags & TCPHDR_RST && segment->seq == agreed.expected) {
		forget_held(&segment->ends);
		return false;
	}
	return segment->seq - agreed.expected < agreed.receive_window;
}

#endif
