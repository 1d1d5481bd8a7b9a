/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Holds back what the web server's socket sends while its connection is being taken over: the reset that SOCK_DESTROY
 * sends, and an answer to a hello that the socket got after all. Our own socket sends nothing that matters before its
 * entry in `alpnbpf_taken` is removed. Packets are matched by the socket's ends, because NAT may have changed their
 * addresses. Owns nothing.
 */
#ifndef ALPNBPF_HUSH_BPF_H
#define ALPNBPF_HUSH_BPF_H

#include <bpf/bpf_helpers.h>

#include "state.bpf.h"
#include "takeover.bpf.h"

static __always_inline void ends_of_socket(const struct bpf_sock *sk, struct steer_connection *ends)
{
	SET_ADDRESS(&ends->from, sk->family, sk->dst_ip4, sk->dst_ip6);
	SET_ADDRESS(&ends->to, sk->family, sk->src_ip4, sk->src_ip6);
	ends->from.port = bpf_ntohs((__be16)sk->dst_port);
	ends->to.port = (__u16)sk->src_port;
}

SEC("cgroup_skb/egress")
int alpnbpf_hush(struct __sk_buff *skb)
{
	struct steer_connection ends = {};
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tcp;

	if (!steer_takeovers_pending(&state) || !sk)
		return LET_THROUGH;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_TCP)
		return LET_THROUGH;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || !is_here(tcp))
		return LET_THROUGH;
	ends_of_socket(sk, &ends);
	return is_being_taken(&ends) ? DROP : LET_THROUGH;
}

#endif
