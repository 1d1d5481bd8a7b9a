/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The listeners that are tracked. Closing one empties its slot. Written by sock_ops (steer.bpf.c) when a listener
 * comes, and by listeners.bpf.c for those that were there before; sk_lookup reads them.
 */
#ifndef ALPNBPF_LISTENER_MAPS_BPF_H
#define ALPNBPF_LISTENER_MAPS_BPF_H

#include <bpf/bpf_helpers.h>

#include "steering.h"

/* Of the ACME client: while there is one, we are armed. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_acme SEC(".maps");

/* Of the web server: a bypassed connection is given to one of them. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_https SEC(".maps");

#endif
