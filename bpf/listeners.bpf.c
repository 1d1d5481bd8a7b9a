// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Adds listeners that existed before sock_ops was attached to the maps of steer.bpf.c, when user space runs it. There
 * are two programs, because neither finds all listeners on all kernels:
 *
 * - alpnbpf_keep iterates over the open files of processes in the reader's PID namespace and its descendants.
 * - alpnbpf_keep_at looks up an address as a connection to it would, for any process. Linux 7.3 refuses it
 *   (docs/KERNEL.md 14).
 *
 * The kernel's tcp iterator is not used (docs/KERNEL.md 7).
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"
#include "listener_maps.bpf.h"
#include "steering.h"

#define IPPROTO_TCP 6

/* Set between open and load. */
const volatile __u64 netns_cookie = 0;

struct steer_search search = {}; /* user space */
struct steer_found found = {};   /* the programs; user space clears it before it runs one */

/* False if no slot is free, or a sockmap cannot hold this listener (MPTCP). */
static __always_inline bool keep_listener(void *sk)
{
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i; /* older verifiers lose track of a counter whose address is taken */
		long error;

		if (search.kind == STEER_ACME)
			error = bpf_map_update_elem(&alpnbpf_acme, &key, sk, BPF_NOEXIST);
		else
			error = bpf_map_update_elem(&alpnbpf_https, &key, sk, BPF_NOEXIST);
		if (!error)
			return true;
	}
	return false;
}

/* May the listener be bound to a device? Not for a bypass, which would bring it connections from other devices. */
static __always_inline bool may_be_bound(void)
{
	return search.kind == STEER_ACME;
}

static __always_inline bool is_at(const struct sock *sk, const struct steer_endpoint *at)
{
	const struct sock_common *common = &sk->__sk_common;

	if (common->skc_family == AF_INET)
		return is_v4(at) && common->skc_rcv_saddr == at->addr[3];
	if (common->skc_family != AF_INET6)
		return false;
	for (int i = 0; i < 4; i++)
		if (common->skc_v6_rcv_saddr.in6_u.u6_addr32[i] != at->addr[i])
			return false;
	return true;
}

/* The index of this listener in `wanted`. STEER_LISTENERS if it is not wanted, or was found before. */
static __always_inline __u32 find_wanted(const struct sock *sk, __u64 cookie)
{
	__u32 same_address = STEER_LISTENERS;

	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		const struct steer_wanted *wanted = &search.wanted[i];
		const struct steer_kept *kept = &found.kept[i];

		if (i >= search.count)
			break;
		if (kept->is_kept && kept->cookie == cookie) /* several processes may have it open */
			return STEER_LISTENERS;
		if (kept->is_kept)
			continue;
		if (wanted->cookie == cookie)
			return i;
		if (!wanted->cookie && same_address == STEER_LISTENERS && is_at(sk, &wanted->at))
			same_address = i;
	}
	return same_address;
}

SEC("iter/task_file")
int alpnbpf_keep(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;
	__u64 cookie;
	__u32 index;

	if (!file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->__sk_common.skc_state != BPF_TCP_LISTEN || sk->__sk_common.skc_num != search.port ||
	    sk->sk_protocol != IPPROTO_TCP || sk->__sk_common.skc_net.net->net_cookie != netns_cookie)
		return 0;
	if (sk->__sk_common.skc_bound_dev_if && !may_be_bound())
		return 0;
	cookie = bpf_get_socket_cookie(sk);
	index = find_wanted(sk, cookie);
	if (index < STEER_LISTENERS && keep_listener(sk))
		found.kept[index] = (struct steer_kept){.cookie = cookie, .is_kept = 1};
	return 0;
}

/* The listener that a connection to the address would reach, which the caller releases; or NULL. */
static __always_inline struct bpf_sock *listener_at(struct __sk_buff *skb)
{
	const struct steer_endpoint *at = &search.reach;
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	if (is_v4(at)) {
		tuple.ipv4.daddr = at->addr[3];
		tuple.ipv4.dport = bpf_htons(at->port);
		tuple.ipv4.sport = bpf_htons(search.source_port);
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		tuple.ipv6.daddr[0] = at->addr[0];
		tuple.ipv6.daddr[1] = at->addr[1];
		tuple.ipv6.daddr[2] = at->addr[2];
		tuple.ipv6.daddr[3] = at->addr[3];
		tuple.ipv6.dport = bpf_htons(at->port);
		tuple.ipv6.sport = bpf_htons(search.source_port);
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (sk && (sk->state != BPF_TCP_LISTEN || (sk->bound_dev_if && !may_be_bound()))) {
		bpf_sk_release(sk);
		return NULL;
	}
	return sk;
}

/* One attempt: the source port decides which of several listeners with the same address is reached. */
SEC("tc")
int alpnbpf_keep_at(struct __sk_buff *skb)
{
	struct bpf_sock *sk = listener_at(skb);
	__u32 index = search.index;
	struct tcp_sock *tcp;
	__u64 cookie, wanted;

	if (!sk)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp && index < STEER_LISTENERS) {
		cookie = (__u64)tcp->inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter;
		wanted = search.wanted[index].cookie;
		if ((!wanted || wanted == cookie) && keep_listener(sk))
			found.kept[index] = (struct steer_kept){.cookie = cookie, .is_kept = 1};
	}
	bpf_sk_release(sk);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
