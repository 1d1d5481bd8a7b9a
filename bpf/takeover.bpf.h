/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The BPF part of taking over a connection: checks whether that is possible, writes the record for user space, and
 * keeps the client's packets from the server meanwhile.
 */
#ifndef ALPNBPF_TAKEOVER_BPF_H
#define ALPNBPF_TAKEOVER_BPF_H

#include <bpf/bpf_helpers.h>

#include "agreed.bpf.h"
#include "endpoint.bpf.h"
#include "partial_hello.bpf.h"
#include "state.bpf.h"
#include "tcp_segment.bpf.h"

enum { LET_THROUGH = 1, DROP = 0 }; /* results of cgroup_skb/ingress */

/* Records of struct steer_takeover; the worker that takes over reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} alpnbpf_takeovr SEC(".maps");

/*
 * Connections that are being taken over: packets from the client are dropped, and it will retransmit them. The watch
 * adds entries, user space removes them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct steer_connection);
	__type(value, __u8);
} alpnbpf_taken SEC(".maps");

/*
 * Listeners that drop every packet: packets of such connections that find no socket go there, so that the kernel sends
 * no reset. Written by user space at start-up.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_FAMILIES);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_silent SEC(".maps");

static __always_inline bool is_being_taken(const struct steer_connection *ends)
{
	return bpf_map_lookup_elem(&alpnbpf_taken, ends) != NULL;
}

/*
 * Not if the server has already sent bytes or its FIN; not a subflow of MPTCP, which a TCP socket cannot continue; and
 * not a connection that our reset, sent over loopback, would not reach.
 */
static __always_inline bool can_take_over(const struct bpf_sock *sk, const struct bpf_tcp_sock *counts,
					  const struct segment *segment, const struct steer_agreed *agreed)
{
	bool link_local = (segment->ends.from.addr[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
	bool silent = agreed->deferred ||
		      (!counts->data_segs_out && (sk->state == BPF_TCP_ESTABLISHED || sk->state == BPF_TCP_SYN_RECV));

	if (!sk->bound_dev_if && !link_local && !agreed->mptcp && silent && segment->ack == agreed->next)
		return true;
	__sync_fetch_and_add(&state.untakable, 1);
	return false;
}

/* Fills everything except the bytes. */
static __always_inline void describe_takeover(struct __sk_buff *skb, const struct segment *segment,
					      const struct partial_hello *hello, const struct steer_agreed *agreed,
					      struct steer_takeover *record)
{
	record->ends = segment->ends;
	record->ifindex = skb->ifindex;
	record->first = hello->first;
	record->passed = hello->next;
	record->acknowledged = segment->ack;
	record->window = (__u32)segment->window << (agreed->window_scaling ? agreed->send_scale & 15 : 0);
	record->agreed = *agreed;
}

/* Writes the record: the stored bytes of the hello, then the segment without its first `skip` bytes. */
static __noinline int take_over(struct __sk_buff *skb, const struct segment *segment, const struct partial_hello *hello,
				const struct steer_agreed *agreed, __u32 skip)
{
	__u32 kept = segment->seq + skip - hello->first, piece = segment->length - skip;
	bool brief = kept == 0 && piece <= STEER_BRIEF_MAX;
	struct steer_takeover *record;
	__u8 one = 1;
	long failed;

	if (brief)
		record = bpf_ringbuf_reserve(&alpnbpf_takeovr, STEER_BRIEF_SIZE, 0);
	else
		record = bpf_ringbuf_reserve(&alpnbpf_takeovr, sizeof(*record), 0);
	if (!record)
		return DROP; /* the client retransmits it */
	describe_takeover(skb, segment, hello, agreed, record);
	if (brief) {
		record->kept_length = 0;
		record->piece_length = (__u16)piece;
		failed =
			bpf_skb_load_bytes(skb, segment->offset + skip, record->piece, bounded(piece, STEER_BRIEF_MAX));
	} else {
		if (piece > STEER_PIECE_MAX)
			piece = STEER_PIECE_MAX;
		record->kept_length = (__u16)kept;
		record->piece_length = (__u16)piece;
		asm volatile("" : "+r"(kept)); /* older verifiers forget bounds checked before this */
		failed =
			kept > STEER_KEPT_MAX || bpf_probe_read_kernel(record->kept, kept, hello->kept) ||
			bpf_skb_load_bytes(skb, segment->offset + skip, record->piece, bounded(piece, STEER_PIECE_MAX));
	}
	if (failed)
		goto discard;
	/* Count first, so that a program that reads 0 pending takeovers is right. */
	__sync_fetch_and_add(&state.takeovers_begun, 1);
	if (bpf_map_update_elem(&alpnbpf_taken, &segment->ends, &one, BPF_NOEXIST)) {
		__sync_fetch_and_add(&state.takeovers_begun, -1);
		goto discard;
	}
	bpf_ringbuf_submit(record, 0);
	return DROP;
discard:
	bpf_ringbuf_discard(record, 0);
	return DROP;
}

#endif
