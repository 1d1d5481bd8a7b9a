// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The ClientHello parser in a program type that BPF_PROG_TEST_RUN supports, which sk_skb is not: feeds the frame's
 * payload to the state in `state`, so several runs are several segments. test_clienthello.c owns the map's content.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "clienthello.bpf.h"

#define TC_ACT_OK 0

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clienthello);
} state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct clienthello_rules));
} rules SEC(".maps");

/* The entry of `rules` to use, + 1; 0: none. */
__u32 rules_entry = 0;

/* The Ethernet header that a test run of tc needs, and how many payload bytes to skip at the start and the end. */
__u32 payload_offset = 14;
__u32 payload_trailer = 0;

SEC("tc")
int feed(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct clienthello *ch = bpf_map_lookup_elem(&state, &key);
	const struct clienthello_rules *table = NULL;

	if (rules_entry) {
		key = rules_entry - 1;
		table = bpf_map_lookup_elem(&rules, &key);
	}
	if (!ch || skb->len < payload_offset + payload_trailer)
		return -1;
	return clienthello_feed_skb(ch, skb, payload_offset, skb->len - payload_offset - payload_trailer, table);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
