/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Is alpnbpf armed? See struct steer_state. */
#ifndef ALPNBPF_ARMED_BPF_H
#define ALPNBPF_ARMED_BPF_H

#include <bpf/bpf_helpers.h>

#include "listener_maps.bpf.h"
#include "state.bpf.h"

/* False: not armed. True: maybe; is_armed() decides. */
static __always_inline bool may_be_armed(void)
{
	const volatile struct steer_state *now = &state;

	return now->always || now->untracked_listeners != now->untracked_gone ||
	       now->arrivals + now->found != now->cleared;
}

static __noinline bool is_armed(void)
{
	const volatile struct steer_state *now = &state;
	__u64 before;

	if (!may_be_armed())
		return false;
	if (now->always || now->untracked_listeners != now->untracked_gone)
		return true;
	/* The addition is a barrier: both are read before the slots, also by a CPU that reorders loads. */
	before = now->found;
	before += __sync_fetch_and_add(&state.arrivals, 0);
	for (__u32 i = 0; i < STEER_LISTENERS; i++) {
		__u32 key = i; /* older verifiers lose track of a counter whose address is taken */
		struct bpf_sock *sk = bpf_map_lookup_elem(&alpnbpf_acme, &key);

		if (sk) {
			bpf_sk_release(sk);
			return true;
		}
	}
	*(volatile __u64 *)&state.cleared = before;
	return false;
}

#endif
