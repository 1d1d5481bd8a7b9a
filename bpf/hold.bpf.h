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

#define LOOPBACK_IFINDEX 1

/* Connections that are held. Written by the watch, and by the clock. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_HELD_MOST);
	__type(key, struct steer_connection);
	__type(value, struct steer_idle);
} alpnbpf_held SEC(".maps");

/* Those that were held too long: their next acknowledgement is let through. Nothing removes them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, STEER_HELD_MOST);
	__type(key, struct steer_connection);
	__type(value, struct steer_idle);
} alpnbpf_freed SEC(".maps");

struct due {
	struct steer_connection ends;
	__u32 seq;
	__u32 pad;
	__u64 at; /* bpf_ktime_get_ns() */
};

/* What was held, the oldest first, whether or not its hello has come since. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, STEER_DUE_MOST);
	__type(value, struct due);
} alpnbpf_due SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024); /* STEER_HELD_MOST records */
} alpnbpf_idle SEC(".maps");

/*
 * One timer for all that is held: it runs while something is. One for each connection would need memory for each, which
 * the kernel may refuse (kmalloc_nolock, since 6.18), and cost every visitor a start and an end of it.
 */
struct clock {
	struct bpf_timer timer;
	__u32 runs;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock);
} alpnbpf_clock SEC(".maps");

#define CLOCK_MONOTONIC 1
#define HELD_NS         (STEER_HELD_MS * 1000000ULL)
#define TICK_NS         (10 * 1000000ULL) /* how often the clock looks at most */

/* Is it the acknowledgement that the entry is of, not one of a later connection with the same ends? */
static __always_inline bool is_of(const struct steer_idle *idle, const struct segment *segment)
{
	return idle->seq == segment->seq && idle->acknowledged == segment->ack;
}

/* The connection has gone on, or has ended. */
static __always_inline void forget_held(const struct steer_connection *ends)
{
	bpf_map_delete_elem(&alpnbpf_held, ends);
}

/* Asks user space to release it, unless the hello has come: then the entry is gone, or of a later connection. */
static __noinline void free_held(const struct due *due)
{
	struct steer_idle *held = bpf_map_lookup_elem(&alpnbpf_held, &due->ends), idle;

	if (!held || held->seq != due->seq)
		return;
	idle = *held;
	if (bpf_map_update_elem(&alpnbpf_freed, &due->ends, &idle, BPF_ANY) ||
	    bpf_map_delete_elem(&alpnbpf_held, &due->ends))
		return;
	__sync_fetch_and_add(&state.released, 1);
	/* Full, or user space has ended: the SYN-ACK is sent again, and its acknowledgement is let through. */
	bpf_ringbuf_output(&alpnbpf_idle, &idle, sizeof(idle), 0);
}

/* A step of bpf_loop(): 1 ends it. *wait: when the next one is due, in ns; 0: nothing is held. */
static long free_next(__u32 index, void *context)
{
	__u64 *wait = context, now = bpf_ktime_get_ns();
	struct due due;

	(void)index;
	*wait = 0;
	if (bpf_map_peek_elem(&alpnbpf_due, &due))
		return 1;
	if (due.at > now) {
		*wait = due.at - now;
		return 1;
	}
	*wait = TICK_NS; /* if this was the loop's last */
	if (bpf_map_pop_elem(&alpnbpf_due, &due))
		return 1;
	free_held(&due);
	return 0;
}

static int clock_ticks(void *map, __u32 *key, struct clock *clock)
{
	__u64 wait = 0;
	struct due due;

	(void)map;
	(void)key;
	bpf_loop(STEER_DUE_MOST, free_next, &wait, 0);
	if (!wait) {
		__sync_lock_test_and_set(&clock->runs, 0);
		/* Has something come meanwhile, and seen that the clock runs? */
		if (bpf_map_peek_elem(&alpnbpf_due, &due) || __sync_lock_test_and_set(&clock->runs, 1))
			return 0;
		wait = HELD_NS;
	}
	if (bpf_timer_start(&clock->timer, wait < TICK_NS ? TICK_NS : wait, 0))
		__sync_lock_test_and_set(&clock->runs, 0);
	return 0;
}

static __always_inline bool start_clock(void)
{
	__u32 only = 0;
	struct clock *clock = bpf_map_lookup_elem(&alpnbpf_clock, &only);

	if (!clock)
		return false;
	if (*(volatile __u32 *)&clock->runs || __sync_lock_test_and_set(&clock->runs, 1))
		return true;
	if (!bpf_timer_start(&clock->timer, HELD_NS, 0))
		return true;
	__sync_lock_test_and_set(&clock->runs, 0);
	return false;
}

/* A test run, once, before the watch is attached. 0, or -errno: the kernel may have no memory for a moment. */
SEC("tc")
int alpnbpf_wind(struct __sk_buff *skb)
{
	__u32 only = 0;
	struct clock *clock = bpf_map_lookup_elem(&alpnbpf_clock, &only);
	long error;

	(void)skb;
	if (!clock)
		return -1;
	error = bpf_timer_init(&clock->timer, &alpnbpf_clock, CLOCK_MONOTONIC);
	return error ? (int)error : (int)bpf_timer_set_callback(&clock->timer, clock_ticks);
}

/*
 * A test run with a packet of user space's: gives it to the kernel as if it had come in at the interface cb[0]. It
 * passes what the client's own packets pass: firewalls, connection tracking, address translation.
 */
SEC("tc")
int alpnbpf_inject(struct __sk_buff *skb)
{
	return (int)bpf_clone_redirect(skb, skb->cb[0], BPF_F_INGRESS);
}

/*
 * False if it cannot be released later; then it must not be held. The hello may be here already, on another CPU, and
 * have removed the entry: then the acknowledgement is not needed any more, and would make a socket of the request.
 */
static __noinline bool note_held(struct __sk_buff *skb, const struct segment *segment)
{
	struct steer_idle idle = {.ends = segment->ends,
				  .ifindex = skb->ifindex,
				  .seq = segment->seq,
				  .acknowledged = segment->ack,
				  .window = segment->window};
	struct due due = {.ends = segment->ends, .seq = segment->seq, .at = bpf_ktime_get_ns() + HELD_NS};

	if (bpf_map_update_elem(&alpnbpf_held, &segment->ends, &idle, BPF_NOEXIST))
		return false;
	if (!bpf_map_push_elem(&alpnbpf_due, &due, 0) && start_clock())
		return true;
	if (bpf_map_delete_elem(&alpnbpf_held, &segment->ends)) /* gone: the hello is here */
		return true;
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

/*
 * Not for MPTCP, whose requests cannot be taken over. Not for a request that is bound to a device, or link-local, and
 * came over loopback: what user space sends there would not find it, and the kernel would reset the client. From a SYN
 * cookie there is no request.
 */
static __always_inline bool should_hold(struct __sk_buff *skb, struct tcp_sock *listener, const struct segment *segment)
{
	struct steer_idle *held = bpf_map_lookup_elem(&alpnbpf_held, &segment->ends), *freed;
	struct steer_agreed agreed = {};
	__u32 timeouts = 0;

	if (held && is_of(held, segment)) /* the client repeats it: because the SYN-ACK was, if the clock has failed */
		return !agreed_with_request(skb, segment, &agreed, &timeouts) || !timeouts;
	freed = bpf_map_lookup_elem(&alpnbpf_freed, &segment->ends);
	if (freed && is_of(freed, segment))
		return false; /* it is the one that user space sends */
	if (*(volatile __u32 *)&state.speaks_first || !has_queue_room(listener) ||
	    !agreed_with_request(skb, segment, &agreed, &timeouts))
		return false;
	if (timeouts || agreed.mptcp || (agreed.device && skb->ifindex == LOOPBACK_IFINDEX) ||
	    segment->seq != agreed.expected || !is_acceptable(skb, segment, &agreed))
		return false;
	if (held) /* of an earlier connection */
		forget_held(&segment->ends);
	if (!note_held(skb, segment))
		return false;
	__sync_fetch_and_add(&state.held, 1);
	return true;
}

/* A bare FIN: is it the client's, as TCP will accept it? */
static __always_inline bool is_end_of_held(struct __sk_buff *skb, const struct segment *segment)
{
	struct steer_agreed agreed = {};
	__u32 timeouts = 0;

	return agreed_with_request(skb, segment, &agreed, &timeouts) && segment->seq == agreed.expected &&
	       segment->ack == agreed.next;
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
