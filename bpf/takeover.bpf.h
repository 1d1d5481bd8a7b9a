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
#include "guard.bpf.h"
#include "partial_hello.bpf.h"
#include "state.bpf.h"
#include "tcp_segment.bpf.h"

enum { LET_THROUGH = 1, DROP = 0 }; /* results of cgroup_skb/ingress */

/* Records of struct steer_takeover; the worker that takes over reads them. A usual hello needs 0.5 to 2 KB. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} alpnbpf_takeovr SEC(".maps");

/*
 * Connections that are being taken over (enum steer_taken): packets from the client are dropped, and it will retransmit
 * them; so are packets from the server's socket (hush.bpf.h). The watch adds entries, the repair helper removes them,
 * or gives the connection back; then the watch removes the entry after the client's next bytes. The value is the record
 * without its bytes (STEER_TAKEN_SIZE).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_TAKEN_MOST);
	__uint(key_size, sizeof(struct steer_connection));
	__uint(value_size, STEER_TAKEN_SIZE);
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
	struct steer_takeover *value = bpf_map_lookup_elem(&alpnbpf_taken, ends);

	return value && value->taken == STEER_TAKEN;
}

/* Was it given back? Once its socket has bytes that were not read here, the entry is not needed any more. */
static __always_inline bool is_left(const struct steer_connection *ends, const struct bpf_sock *sk,
				    const struct bpf_tcp_sock *counts)
{
	struct steer_takeover *value = bpf_map_lookup_elem(&alpnbpf_taken, ends);

	if (!value || value->taken != STEER_LEFT)
		return false;
	if (sk->state != BPF_TCP_LISTEN && counts->bytes_received && bpf_map_delete_elem(&alpnbpf_taken, ends) == 0)
		__sync_fetch_and_add(&state.takeovers_ended, 1);
	return true;
}

/* Not if the server has already sent bytes or its FIN; not a subflow of MPTCP, which a TCP socket cannot continue. */
static __always_inline bool can_take_over(const struct bpf_sock *sk, const struct bpf_tcp_sock *counts,
					  const struct steer_agreed *agreed)
{
	bool silent = agreed->deferred ||
		      (!counts->data_segs_out && (sk->state == BPF_TCP_ESTABLISHED || sk->state == BPF_TCP_SYN_RECV));

	if (agreed->mptcp)
		count_untakable(STEER_UNTAKABLE_MPTCP);
	else if (!silent)
		count_untakable(STEER_UNTAKABLE_ANSWERED);
	else
		return true;
	return false;
}

/* Fills everything except the bytes. */
static __always_inline void describe_takeover(struct __sk_buff *skb, const struct segment *segment, __u32 first,
					      __u32 passed, const struct steer_agreed *agreed,
					      struct steer_takeover *record)
{
	record->kept_length = (__u16)(passed - first);
	record->ends = segment->ends;
	record->ifindex = skb->ifindex;
	record->first = first;
	record->passed = passed;
	record->acknowledged = segment->ack;
	record->window = (__u32)segment->window << (agreed->window_scaling ? agreed->send_scale & 15 : 0);
	record->agreed = *agreed;
}

/* Appends early bytes, which follow `end`; they are at the same place in `kept`. Returns the new end. */
static __noinline __u32 append_early(struct steer_takeover *record, const struct partial_hello *hello, __u32 end)
{
	__u32 at = end - hello->first, more = hello->early_end - end;

	asm volatile("" : "+r"(at), "+r"(more)); /* older verifiers know only the bounds checked after this */
	if (!early_follows(hello, end) || at >= STEER_KEPT_AT || more > STEER_PIECE_MAX || !more)
		return end;
	if (bpf_probe_read_kernel(record->bytes + at, bounded(more, STEER_PIECE_MAX), hello->kept + at))
		return end;
	return end + more;
}

/*
 * Fills the record's bytes: the stored bytes of the hello, then the segment without its first `skip` bytes, then what
 * came early. False if they cannot be read.
 */
static __noinline bool fill_takeover(struct __sk_buff *skb, const struct segment *segment,
				     const struct partial_hello *hello, struct steer_takeover *record, __u32 skip)
{
	__u32 kept = segment->seq + skip - hello->first, piece = segment->length - skip, end;

	if (piece > STEER_PIECE_MAX)
		piece = STEER_PIECE_MAX;
	asm volatile("" : "+r"(kept)); /* older verifiers forget bounds checked before this */
	if (kept > STEER_KEPT_MAX || bpf_probe_read_kernel(record->bytes, kept, hello->kept) ||
	    bpf_skb_load_bytes(skb, segment->offset + skip, record->bytes + kept, bounded(piece, STEER_PIECE_MAX)))
		return false;
	end = append_early(record, hello, segment->seq + skip + piece);
	record->length = (__u16)(end - hello->first);
	return true;
}

enum publishing { PUBLISHED, NO_ROOM_IN_TABLE, NO_ROOM_IN_RING };

/* Publishes the record: the connection is being taken over. Returns enum publishing. */
static __noinline int publish_takeover(struct steer_takeover *record)
{
	__u32 size = (__u32) __builtin_offsetof(struct steer_takeover, bytes) + record->length;

	begin_guard(record);
	/* Count first, so that a program that reads 0 pending takeovers is right. */
	__sync_fetch_and_add(&state.takeovers_begun, 1);
	record->taken = STEER_TAKEN;
	if (bpf_map_update_elem(&alpnbpf_taken, &record->ends, record, BPF_NOEXIST)) {
		__sync_fetch_and_add(&state.takeovers_begun, -1);
		return NO_ROOM_IN_TABLE;
	}
	asm volatile("" : "+r"(size));
	if (size <= sizeof(*record) && bpf_ringbuf_output(&alpnbpf_takeovr, record, size, 0) == 0)
		return PUBLISHED;
	bpf_map_delete_elem(&alpnbpf_taken, &record->ends);
	__sync_fetch_and_add(&state.takeovers_begun, -1);
	return NO_ROOM_IN_RING;
}

/* False if there is no room: a validation's segment must be dropped, and the client retransmits it. */
static __always_inline bool take_over(struct __sk_buff *skb, const struct segment *segment,
				      const struct partial_hello *hello, const struct steer_agreed *agreed, __u32 skip)
{
	struct scratch *scratch = own_scratch();

	if (!scratch)
		return false;
	/* A request has no byte of the client's yet. */
	describe_takeover(skb, segment, hello->first, agreed->deferred ? agreed->expected : segment->seq + skip, agreed,
			  &scratch->record);
	if (!fill_takeover(skb, segment, hello, &scratch->record, skip))
		return false;
	switch (publish_takeover(&scratch->record)) {
	case PUBLISHED:
		return true;
	case NO_ROOM_IN_TABLE:
		__sync_fetch_and_add(&state.late[STEER_LATE_TABLE], 1);
		return false;
	default:
		__sync_fetch_and_add(&state.late[STEER_LATE_RING], 1);
		return false;
	}
}

#endif
