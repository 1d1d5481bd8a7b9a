/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hold: while armed, the bare acknowledgement that ends a handshake is dropped, as TCP_DEFER_ACCEPT does. The
 * connection stays a request of the kernel until its hello, and a request can be removed without a packet
 * (docs/KERNEL.md 11). The hello acknowledges the same, so the client notices nothing. If no hello comes, the kernel
 * retransmits the SYN-ACK after a second, and the answer to that is let through. Owns nothing.
 */
#ifndef ALPNBPF_HOLD_BPF_H
#define ALPNBPF_HOLD_BPF_H

#include <bpf/bpf_helpers.h>

#include "acceptable.bpf.h"
#include "agreed.bpf.h"
#include "state.bpf.h"

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

/* Not for MPTCP, whose requests cannot be taken over. From a SYN cookie there is no request. */
static __always_inline bool should_hold(struct __sk_buff *skb, struct tcp_sock *listener, const struct segment *segment)
{
	struct steer_agreed agreed = {};
	__u32 timeouts = 0;

	if (*(volatile __u32 *)&state.speaks_first || !has_queue_room(listener) ||
	    !agreed_with_request(skb, segment, &agreed, &timeouts))
		return false;
	if (timeouts || agreed.mptcp || segment->seq != agreed.expected || !is_acceptable(skb, segment, &agreed))
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

	if (!agreed_with_request(skb, segment, &agreed, &timeouts) || timeouts)
		return false;
	if (segment->flags & TCPHDR_RST && segment->seq == agreed.expected)
		return false;
	return segment->seq - agreed.expected < agreed.receive_window;
}

#endif
