/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads what TCP agreed on with a client, from the web server's socket, or from the request if there is no socket yet.
 * Owns nothing.
 */
#ifndef ALPNBPF_AGREED_BPF_H
#define ALPNBPF_AGREED_BPF_H

#include <bpf/bpf_core_read.h>

#include "steering.h"
#include "tcp_segment.bpf.h"

static __noinline void agreed_with_socket(struct tcp_sock *tcp, const struct bpf_tcp_sock *counts,
					  struct steer_agreed *agreed)
{
	struct tcp_options_received *options = &tcp->rx_opt;

	agreed->expected = counts->rcv_nxt;
	agreed->next = counts->snd_nxt;
	agreed->mss = options->mss_clamp;
	agreed->receive_window = tcp->rcv_wnd;
	agreed->receive_from = tcp->rcv_wup;
	agreed->timestamp_offset = tcp->tsoffset;
	agreed->timestamps = BPF_CORE_READ_BITFIELD_PROBED(options, tstamp_ok);
	agreed->sack = BPF_CORE_READ_BITFIELD_PROBED(options, sack_ok) != 0;
	agreed->window_scaling = BPF_CORE_READ_BITFIELD_PROBED(options, wscale_ok);
	agreed->send_scale = BPF_CORE_READ_BITFIELD_PROBED(options, snd_wscale);
	agreed->receive_scale = BPF_CORE_READ_BITFIELD_PROBED(options, rcv_wscale);
	if (bpf_core_field_exists(tcp->is_mptcp))
		agreed->mptcp = BPF_CORE_READ_BITFIELD_PROBED(tcp, is_mptcp) != 0;
}

/* False if there is no request. */
static __always_inline bool agreed_with_request(struct __sk_buff *skb, const struct segment *segment,
						struct steer_agreed *agreed)
{
	const struct steer_connection *ends = &segment->ends;
	struct tcp_request_sock *request = NULL;
	struct bpf_sock_tuple tuple = {};
	bool is_request;
	struct inet_request_sock *inet;
	struct bpf_sock *sk;

	if (is_v4(&ends->to)) {
		tuple.ipv4.saddr = ends->from.addr[3];
		tuple.ipv4.daddr = ends->to.addr[3];
		tuple.ipv4.sport = bpf_htons(ends->from.port);
		tuple.ipv4.dport = bpf_htons(ends->to.port);
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, ends->from.addr, 16);
		__builtin_memcpy(tuple.ipv6.daddr, ends->to.addr, 16);
		tuple.ipv6.sport = bpf_htons(ends->from.port);
		tuple.ipv6.dport = bpf_htons(ends->to.port);
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return false;
	is_request = sk->state == BPF_TCP_NEW_SYN_RECV;
	if (is_request) {
		/* Not bpf_skc_to_tcp_request_sock(), which refuses a request whose listener is in a sockmap. */
		bpf_probe_read_kernel(&request, sizeof(request), &sk);
		inet = &request->req;
		agreed->expected = agreed->receive_from = BPF_CORE_READ(request, rcv_isn) + 1;
		agreed->next = BPF_CORE_READ(request, snt_isn) + 1;
		agreed->mss = BPF_CORE_READ(inet, req.mss);
		agreed->receive_window = BPF_CORE_READ(inet, req.__req_common.skc_rcv_wnd);
		agreed->timestamp_offset = BPF_CORE_READ(request, ts_off);
		agreed->timestamps = BPF_CORE_READ_BITFIELD_PROBED(inet, tstamp_ok);
		agreed->sack = BPF_CORE_READ_BITFIELD_PROBED(inet, sack_ok);
		agreed->window_scaling = BPF_CORE_READ_BITFIELD_PROBED(inet, wscale_ok);
		agreed->send_scale = BPF_CORE_READ_BITFIELD_PROBED(inet, snd_wscale);
		agreed->receive_scale = BPF_CORE_READ_BITFIELD_PROBED(inet, rcv_wscale);
		agreed->deferred = true;
		if (bpf_core_field_exists(request->is_mptcp))
			agreed->mptcp = BPF_CORE_READ_BITFIELD_PROBED(request, is_mptcp) != 0;
	}
	bpf_sk_release(sk);
	return is_request;
}

#endif
