/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process begins to listen: sock_ops tracks its listener and notifies user space. */
#ifndef ALPNBPF_ARRIVALS_BPF_H
#define ALPNBPF_ARRIVALS_BPF_H

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

static __always_inline void listener_came(struct bpf_sock_ops *ops)
{
	struct steer_endpoint at;

	local_end(ops, &at);
	if (at.port == *(volatile __u16 *)&state.acme_port)
		acme_listener_came(ops, &at);
	else if (with_bypass && at.port == *(volatile __u16 *)&state.https_port && is_https_address(&at))
		https_listener_came(ops, &at);
}

#endif
