/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads what TCP agreed on with a client, from the web server's socket, or from the request if there is no socket yet.
 * Owns nothing.
 */
#ifndef ALPNBPF_AGREED_BPF_H
#define ALPNBPF_AGREED_BPF_H

#include <bpf/bpf_core_read.h>

#include "state.bpf.h"
#include "steering.h"
#include "tcp_segment.bpf.h"

/* Is it a socket of this network namespace? */
static __always_inline bool is_here(struct tcp_sock *tcp)
{
	/* Before Linux 6.14, no helper returns the cookie here. */
	return tcp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->net_cookie == netns_cookie;
}

static __noinline void agreed_with_socket(struct tcp_sock *tcp, const struct bpf_sock *sk,
					  const struct bpf_tcp_sock *counts, struct steer_agreed *agreed)
{
	struct tcp_options_received *options = &tcp->rx_opt;

	agreed->expected = counts->rcv_nxt;
	agreed->next = counts->snd_nxt;
	agreed->mss = options->mss_clamp;
	agreed->receive_window = tcp->rcv_wnd;
	agreed->receive_from = tcp->rcv_wup;
	agreed->timestamp_offset = tcp->tsoffset;
	agreed->timestamp_recent = options->ts_recent;
	agreed->mark = sk->mark;
	agreed->device = sk->bound_dev_if;
	agreed->timestamps = BPF_CORE_READ_BITFIELD_PROBED(options, tstamp_ok);
	agreed->sack = BPF_CORE_READ_BITFIELD_PROBED(options, sack_ok) != 0;
	agreed->window_scaling = BPF_CORE_READ_BITFIELD_PROBED(options, wscale_ok);
	agreed->send_scale = BPF_CORE_READ_BITFIELD_PROBED(options, snd_wscale);
	agreed->receive_scale = BPF_CORE_READ_BITFIELD_PROBED(options, rcv_wscale);
	if (bpf_core_field_exists(tcp->is_mptcp))
		agreed->mptcp = BPF_CORE_READ_BITFIELD_PROBED(tcp, is_mptcp) != 0;
}

/* The socket or request of these ends, with a reference; NULL: none. */
static __always_inline struct bpf_sock *look_up_ends(struct __sk_buff *skb, const struct steer_connection *ends)
{
	struct bpf_sock_tuple tuple = {};

	if (is_v4(&ends->to)) {
		tuple.ipv4.saddr = ends->from.addr[3];
		tuple.ipv4.daddr = ends->to.addr[3];
		tuple.ipv4.sport = bpf_htons(ends->from.port);
		tuple.ipv4.dport = bpf_htons(ends->to.port);
		return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(tuple.ipv6.saddr, ends->from.addr, 16);
	__builtin_memcpy(tuple.ipv6.daddr, ends->to.addr, 16);
	tuple.ipv6.sport = bpf_htons(ends->from.port);
	tuple.ipv6.dport = bpf_htons(ends->to.port);
	return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/*
 * Will the request become a subflow of MPTCP? A listener of MPTCP sets is_mptcp for every request; what the client
 * asked for is in the larger struct (net/mptcp/protocol.h), which such a request always has.
 */
static __always_inline bool is_mptcp_request(struct tcp_request_sock *request)
{
	struct mptcp_subflow_request_sock *subflow = (void *)request;

	if (!bpf_core_field_exists(request->is_mptcp) || !BPF_CORE_READ_BITFIELD_PROBED(request, is_mptcp))
		return false;
	if (!bpf_core_field_exists(subflow->mp_capable) || !bpf_core_field_exists(subflow->mp_join))
		return true;
	return BPF_CORE_READ_BITFIELD_PROBED(subflow, mp_capable) || BPF_CORE_READ_BITFIELD_PROBED(subflow, mp_join);
}

/*
 * False if there is no request. *timeouts: how often its SYN-ACK was retransmitted. Not by bpf_skc_to_tcp_request_sock,
 * which refuses a request whose listener is in a sockmap.
 */
static __noinline bool agreed_with_request(struct __sk_buff *skb, const struct segment *segment,
					   struct steer_agreed *agreed, __u32 *timeouts)
{
	struct tcp_request_sock *request = NULL;
	struct inet_request_sock *inet;
	struct bpf_sock *sk = look_up_ends(skb, &segment->ends);

	if (!sk)
		return false;
	if (sk->state != BPF_TCP_NEW_SYN_RECV) {
		bpf_sk_release(sk);
		return false;
	}
	bpf_probe_read_kernel(&request, sizeof(request), &sk);
	inet = &request->req;
	agreed->expected = agreed->receive_from = BPF_CORE_READ(request, rcv_isn) + 1;
	agreed->next = BPF_CORE_READ(request, snt_isn) + 1;
	agreed->mss = BPF_CORE_READ(inet, req.mss);
	agreed->receive_window = BPF_CORE_READ(inet, req.__req_common.skc_rcv_wnd);
	agreed->timestamp_offset = BPF_CORE_READ(request, ts_off);
	agreed->timestamp_recent = BPF_CORE_READ(inet, req.ts_recent);
	agreed->mark = BPF_CORE_READ(inet, ir_mark);
	agreed->device = (__u32)BPF_CORE_READ(inet, req.__req_common.skc_bound_dev_if);
	agreed->timestamps = BPF_CORE_READ_BITFIELD_PROBED(inet, tstamp_ok);
	agreed->sack = BPF_CORE_READ_BITFIELD_PROBED(inet, sack_ok);
	agreed->window_scaling = BPF_CORE_READ_BITFIELD_PROBED(inet, wscale_ok);
	agreed->send_scale = BPF_CORE_READ_BITFIELD_PROBED(inet, snd_wscale);
	agreed->receive_scale = BPF_CORE_READ_BITFIELD_PROBED(inet, rcv_wscale);
	agreed->mptcp = is_mptcp_request(request);
	agreed->deferred = true;
	*timeouts = BPF_CORE_READ_BITFIELD_PROBED(&inet->req, num_timeout);
	bpf_sk_release(sk);
	return true;
}

#endif
