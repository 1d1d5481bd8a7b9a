/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The listening addresses, and those of the backends. User space fills both maps before sk_lookup is attached, and
 * changes them at a reload.
 */
#ifndef ALPNBPF_ADDRESSES_BPF_H
#define ALPNBPF_ADDRESSES_BPF_H

#include <bpf/bpf_helpers.h>

#include "endpoint.bpf.h"
#include "state.bpf.h"

/* addr:port, exact or wildcard -> enum steer_rule */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct steer_endpoint);
	__type(value, __u32);
} alpnbpf_address SEC(".maps");

/*
 * Addresses, exact or wildcard, at which a listener is reached by --https, with the bypass; and by --acme, if that
 * names an address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct steer_endpoint);
	__type(value, struct steer_named);
} alpnbpf_named SEC(".maps");

/* The rule for a connection to `to`: enum steer_rule, or 0. */
static __noinline __u32 rule_of(const struct steer_endpoint *to)
{
	__u32 *rule = bpf_map_lookup_elem(&alpnbpf_address, to);

	if (!rule) {
		struct steer_endpoint any = {.port = to->port};

		any.addr[2] = is_v4(to) ? bpf_htonl(0xffff) : 0;
		rule = bpf_map_lookup_elem(&alpnbpf_address, &any);
	}
	return rule ? *rule : 0;
}

#endif
