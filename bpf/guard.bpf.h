/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A socket in repair cannot be told its client's timestamp: until the client's next segment in order, TCP would accept
 * any (docs/KERNEL.md 11). Until then, the watch refuses what TCP would: segments that are older than the client's at
 * the takeover (RFC 7323 section 5.3). Owns `alpnbpf_guard`.
 */
#ifndef ALPNBPF_GUARD_BPF_H
#define ALPNBPF_GUARD_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "acceptable.bpf.h"
#include "steering.h"
#include "tcp_segment.bpf.h"

/* The client's timestamp when its connection was taken over. Only our newest sockets need one: nothing removes it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct steer_connection);
	__type(value, __u32);
} alpnbpf_guard SEC(".maps");

static __always_inline void begin_guard(const struct steer_takeover *takeover)
{
	__u32 time = takeover->agreed.timestamp_recent;

	if (takeover->agreed.timestamps)
		bpf_map_update_elem(&alpnbpf_guard, &takeover->ends, &time, BPF_ANY);
}

/* Has it received bytes, but no timestamp that was agreed on? Then it was in repair. */
static __always_inline bool is_guarded(struct tcp_sock *tcp, const struct bpf_tcp_sock *counts)
{
	struct tcp_options_received *options = &tcp->rx_opt;

	return counts->bytes_received && !options->ts_recent && BPF_CORE_READ_BITFIELD_PROBED(options, tstamp_ok);
}

/* A reset is accepted with any timestamp (tcp_validate_incoming), and a segment without one (acceptable.bpf.h). */
static __always_inline bool guard_refuses(struct __sk_buff *skb, const struct segment *segment)
{
	__u32 *recent = bpf_map_lookup_elem(&alpnbpf_guard, &segment->ends), time = 0;

	return recent && *recent && !(segment->flags & TCPHDR_RST) && read_timestamp(skb, segment, &time) &&
	       (__s32)(*recent - time) > PAWS_WINDOW;
}

#endif
