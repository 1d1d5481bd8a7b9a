// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Answers user space, by test runs: whose listener does a connection of ours reach? It is asked before and after a
 * connection is made. If both answers are the same listener, that one took the connection: no other can have had its
 * address in between. But a socket without a listener may have: one that was bound to the port before the server
 * listened, and connects to ours at the same time. The answer is in the packet of the test run, so that any number of
 * threads may ask.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"

#define SOCK_BINDPORT_LOCK 8

/* Numbers of listeners, which go with them: their cookies may not be asked for here, and addresses come again. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} alpnbpf_number SEC(".maps");

__u64 last_number = 0;

/* Returns the size of the family's tuple: to `ends->to`, from `ends->from`. */
static __always_inline __u32 fill_tuple(struct bpf_sock_tuple *tuple, const struct steer_connection *ends)
{
	if (is_v4(&ends->to)) {
		tuple->ipv4.saddr = ends->from.addr[3];
		tuple->ipv4.sport = bpf_htons(ends->from.port);
		tuple->ipv4.daddr = ends->to.addr[3];
		tuple->ipv4.dport = bpf_htons(ends->to.port);
		return sizeof(tuple->ipv4);
	}
	for (int i = 0; i < 4; i++) {
		tuple->ipv6.saddr[i] = ends->from.addr[i];
		tuple->ipv6.daddr[i] = ends->to.addr[i];
	}
	tuple->ipv6.sport = bpf_htons(ends->from.port);
	tuple->ipv6.dport = bpf_htons(ends->to.port);
	return sizeof(tuple->ipv6);
}

static __always_inline __u64 number_of(struct bpf_sock *sk)
{
	__u64 *number = bpf_sk_storage_get(&alpnbpf_number, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!number)
		return 0;
	if (!*(volatile __u64 *)number)
		__sync_val_compare_and_swap(number, 0, __sync_fetch_and_add(&last_number, 1) + 1);
	return *(volatile __u64 *)number;
}

static __always_inline void find_listener(struct __sk_buff *skb, struct steer_owner_question *question)
{
	struct steer_connection ends = {.to = question->ends.to}; /* from port 0: see lookup.bpf.h */
	struct bpf_sock_tuple tuple = {};
	struct tcp_sock *tcp;
	struct bpf_sock *sk;

	if (fill_tuple(&tuple, &ends) == sizeof(tuple.ipv4))
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (sk->state == BPF_TCP_LISTEN && tcp) {
		question->found = 1;
		question->uid = tcp->inet_conn.icsk_inet.sk.sk_uid.val;
		question->number = number_of(sk);
	}
	bpf_sk_release(sk);
}

/*
 * A socket that connects from a port of its user's choice is bound to it; one of a listener's is not. (At a port from
 * which the kernel chooses for connections, this cannot be told.)
 */
static __always_inline bool has_crossed(struct bpf_sock *sk, struct steer_owner_question *question)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	if (!tcp) /* a request, or what is left of a connection */
		return false;
	question->peer_uid = tcp->inet_conn.icsk_inet.sk.sk_uid.val;
	return BPF_CORE_READ_BITFIELD(&tcp->inet_conn.icsk_inet.sk, sk_userlocks) & SOCK_BINDPORT_LOCK;
}

static __always_inline void find_peer(struct __sk_buff *skb, struct steer_owner_question *question)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	if (fill_tuple(&tuple, &question->ends) == sizeof(tuple.ipv4))
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return;
	if (sk->state != BPF_TCP_LISTEN) /* without a connection, the look-up finds a listener, or nothing */
		question->peer = has_crossed(sk, question) ? STEER_PEER_CROSSED : STEER_PEER_ACCEPTED;
	bpf_sk_release(sk);
}

SEC("tc")
int alpnbpf_owner(struct __sk_buff *skb)
{
	struct steer_owner_question question;

	if (bpf_skb_load_bytes(skb, 0, &question, sizeof(question)))
		return 0;
	question.found = question.peer = 0;
	find_listener(skb, &question);
	if (question.ends.from.port)
		find_peer(skb, &question);
	bpf_skb_store_bytes(skb, 0, &question, sizeof(question), 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
