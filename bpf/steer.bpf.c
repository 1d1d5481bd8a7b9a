// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Steering: selects the socket for a new connection to a listening port. Each header has one concern. The programs:
 *
 *   alpnbpf_steer          sk_lookup, network namespace     new connections (lookup.bpf.h)
 *   alpnbpf_events         sock_ops, cgroup root            new listeners (arrivals.bpf.h), own connections
 *                                                           (own_connections.bpf.h), new sockets (watch.bpf.h)
 *   alpnbpf_watch          cgroup_skb/ingress, cgroup root  reads hellos in passing, while armed (watch.bpf.h)
 *   alpnbpf_hush           cgroup_skb/egress, cgroup root   holds back packets of sockets taken over (hush.bpf.h)
 *   alpnbpf_peer4, _peer6  getpeername, cgroup root         shows the web server its clients (peername.bpf.h)
 *   alpnbpf_pending        tc, test runs only               counts connections that are not accepted yet
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "arrivals.bpf.h"
#include "hush.bpf.h"
#include "lookup.bpf.h"
#include "own_connections.bpf.h"
#include "peername.bpf.h"
#include "sock_ops_ends.bpf.h"
#include "state.bpf.h"
#include "watch.bpf.h"

SEC("sockops")
int alpnbpf_events(struct bpf_sock_ops *ops)
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
		own_connection_begins(ops);
	} else {
		remote_end(ops, &ends.from);
		local_end(ops, &ends.to);
		finish_beginning(ops, &ends);
	}
	return 1;
}

/* Connections of a private listener that are not accepted yet, or wait for the handshake or the first byte. */
SEC("tc")
int alpnbpf_pending(struct __sk_buff *skb)
{
	__u32 key = state.asked_index, count = 0;
	struct bpf_sock *sk = bpf_map_lookup_elem(&alpnbpf_private, &key);
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
