/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A hello in several segments that has named acme-tls/1 already: its segments are dropped and stored, as the bare
 * acknowledgement is (hold.bpf.h), so that the connection is still a request when the last of them comes. Without that,
 * the first one would make the server's socket. They come in one flight, so the client does not notice; if one is lost,
 * it retransmits them.
 */
#ifndef ALPNBPF_HALF_BPF_H
#define ALPNBPF_HALF_BPF_H

#include <bpf/bpf_helpers.h>

#include "hold.bpf.h"
#include "partial_hello.bpf.h"
#include "takeover.bpf.h"

/* By the ends of the request. Written by the watch. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STEER_HALVES_MOST);
	__type(key, struct steer_connection);
	__type(value, struct partial_hello);
} alpnbpf_halves SEC(".maps");

/* Their keys, in a ring: the next place is that of the oldest. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_HALVES_MOST);
	__type(key, __u32);
	__type(value, struct steer_connection);
} alpnbpf_halfkey SEC(".maps");

/* Segments of a connection may change the CPU. False if another one is at work on it. */
static __always_inline bool take_half(struct partial_hello *half)
{
	return __sync_val_compare_and_swap(&half->busy, 0, 1) == 0;
}

static __always_inline void let_half_go(struct partial_hello *half)
{
	__sync_lock_test_and_set(&half->busy, 0);
}

/*
 * False if there is no memory for it, or the oldest is in use: then it goes to the server, and is stored with its
 * socket.
 */
static __noinline bool begin_half(const struct steer_connection *ends, const struct partial_hello *hello)
{
	__u32 index = __sync_fetch_and_add(&state.halves, 1) % STEER_HALVES_MOST;
	struct steer_connection *place = bpf_map_lookup_elem(&alpnbpf_halfkey, &index);
	struct partial_hello *old;

	if (!place)
		return false;
	old = place->from.port ? bpf_map_lookup_elem(&alpnbpf_halves, place) : NULL;
	/* The kernel gives its memory to the new one at once, while another CPU may be at work on it. */
	if (old && !take_half(old))
		return false;
	if (old)
		bpf_map_delete_elem(&alpnbpf_halves, place);
	*place = *ends;
	return bpf_map_update_elem(&alpnbpf_halves, ends, hello, BPF_ANY) == 0;
}

/* The stored hello of this request. NULL: there is none. */
static __always_inline struct partial_hello *half_of(const struct steer_connection *ends,
						     const struct steer_agreed *agreed)
{
	struct partial_hello *half = bpf_map_lookup_elem(&alpnbpf_halves, ends);

	return half && half->first == agreed->expected ? half : NULL;
}

/*
 * Handles a further segment. What is left to the server, the client sends again from the beginning. For one segment at
 * a time: see look_at_next_alone() in watch.bpf.h.
 */
static __always_inline int look_at_half(struct __sk_buff *skb, const struct segment *segment,
					const struct steer_agreed *agreed, struct partial_hello *half)
{
	struct progress progress = {.expected = half->next}; /* nothing has reached TCP: `half` is all there is */
	__u32 skip = 0;

	switch (read_hello(skb, segment, half, &progress, &skip)) {
	case READ_TAKE_OVER:
		if (take_over(skb, segment, half, agreed, skip))
			bpf_map_delete_elem(&alpnbpf_halves, &segment->ends);
		return DROP;
	case READ_DECIDED:
		break;
	default:
		if (segment->flags & TCPHDR_FIN)
			break; /* nothing more will come */
		return DROP;
	}
	bpf_map_delete_elem(&alpnbpf_halves, &segment->ends);
	return LET_THROUGH;
}

#endif
