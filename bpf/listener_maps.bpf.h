/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracked listeners. Closing a listener empties its slot. Written by sock_ops (steer.bpf.c) when a process begins
 * to listen, and by listeners.bpf.c for listeners that existed before; read by sk_lookup.
 */
#ifndef ALPNBPF_LISTENER_MAPS_BPF_H
#define ALPNBPF_LISTENER_MAPS_BPF_H

#include <bpf/bpf_helpers.h>

#include "steering.h"

/* Listeners of the ACME client: alpnbpf is armed while there is one. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_acme SEC(".maps");

/* Listeners of the web server: a bypassed connection goes to one of them. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_https SEC(".maps");

#endif
