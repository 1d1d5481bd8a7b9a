/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process begins to listen: if it is its turn, sock_ops tracks its listener and notifies user space. */
#ifndef ALPNBPF_ARRIVALS_BPF_H
#define ALPNBPF_ARRIVALS_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "addresses.bpf.h"
#include "listener_maps.bpf.h"
#include "sock_ops_ends.bpf.h"
#include "state.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} alpnbpf_arrival SEC(".maps");

static __always_inline void tell_arrival(const struct steer_endpoint *at, enum steer_kind kind, bool tracked)
{
	struct steer_arrival arrival = {.at = *at, .tracked = tracked, .kind = kind};

	bpf_ringbuf_output(&alpnbpf_arrival, &arrival, sizeof(arrival), 0);
}

static __always_inline bool track_listener(struct bpf_sock_ops *ops, enum steer_kind kind)
{
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i;
		long error;

		if (kind == STEER_ACME)
			error = bpf_sock_map_update(ops, &alpnbpf_acme, &key, BPF_NOEXIST);
		else
			error = bpf_sock_map_update(ops, &alpnbpf_https, &key, BPF_NOEXIST);
		if (!error)
			return true;
	}
	return false;
}

static __always_inline void acme_listener_came(struct bpf_sock_ops *ops, const struct steer_endpoint *at)
{
	bool tracked = track_listener(ops, STEER_ACME);

	/* After the slot is filled; see struct steer_state. */
	if (tracked)
		__sync_fetch_and_add(&state.arrivals, 1);
	else
		__sync_fetch_and_add(&state.untracked_listeners, 1);
	tell_arrival(at, STEER_ACME, tracked);
}

/* The bypass uses only tracked listeners. */
static __always_inline void https_listener_came(struct bpf_sock_ops *ops, const struct steer_endpoint *at)
{
	struct bpf_sock *sk = ops->sk;

	/* Connections from other devices do not reach a bound listener, and the bypass must not bring them there. */
	if (!sk || sk->bound_dev_if || !track_listener(ops, STEER_HTTPS))
		tell_arrival(at, STEER_HTTPS, false);
}

/*
 * Of which kinds would the listener be, if its owner is right? If --acme is a port alone, its address does not matter:
 * user space connects to where it is (user/engine/connect.c).
 */
static __always_inline __u32 kinds_of(const struct sock *sk, const struct steer_endpoint *at)
{
	__u32 kinds = at->port == *(volatile __u16 *)&state.acme_port ? 1U << STEER_ACME : 0;
	const struct steer_named *named = bpf_map_lookup_elem(&alpnbpf_named, at);

	if (!named)
		return kinds;
	kinds |= named->kinds;
	return kinds | (BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_ipv6only) ? 0 : named->if_dual);
}

static __always_inline bool is_right_owner(enum steer_kind kind, __u32 uid)
{
	struct steer_owners *owners = &state.owners[kind];
	const volatile struct steer_owners *now = owners;
	__u32 first = uid;

	if (now->anyone)
		return true;
	if (now->learns) /* also of those who are named: then nobody else is the first */
		first = __sync_val_compare_and_swap(&owners->first, STEER_NO_OWNER, uid);
	for (__u32 i = 0; i < STEER_OWNERS; i++)
		if (i < now->count && now->uids[i] == uid)
			return true;
	return now->learns && (first == STEER_NO_OWNER || first == uid);
}

/* Of each kind, the ring gets one a second, however many come. */
static __always_inline void stranger_came(const struct steer_endpoint *at, enum steer_kind kind, __u32 uid)
{
	struct steer_arrival arrival = {.at = *at, .kind = kind, .uid = uid, .is_stranger = true};
	__u32 now = (__u32)(bpf_ktime_get_ns() >> 30), told = *(volatile __u32 *)&state.stranger_told[kind];

	__sync_fetch_and_add(&state.strangers, 1);
	if (told != now && __sync_val_compare_and_swap(&state.stranger_told[kind], told, now) == told)
		bpf_ringbuf_output(&alpnbpf_arrival, &arrival, sizeof(arrival), 0);
}

static __always_inline void listener_came(struct bpf_sock_ops *ops)
{
	struct bpf_sock *socket = ops->sk;
	struct tcp_sock *tcp = socket ? bpf_skc_to_tcp_sock(socket) : NULL;
	struct steer_endpoint at;
	__u32 kinds, uid;

	if (!tcp)
		return;
	local_end(ops, &at);
	kinds = kinds_of(&tcp->inet_conn.icsk_inet.sk, &at);
	if (!kinds)
		return;
	uid = tcp->inet_conn.icsk_inet.sk.sk_uid.val;
	if (kinds & 1U << STEER_ACME) {
		if (is_right_owner(STEER_ACME, uid))
			acme_listener_came(ops, &at);
		else
			stranger_came(&at, STEER_ACME, uid);
	}
	if (with_bypass && kinds & 1U << STEER_HTTPS) {
		if (is_right_owner(STEER_HTTPS, uid))
			https_listener_came(ops, &at);
		else
			stranger_came(&at, STEER_HTTPS, uid);
	}
}

#endif
