/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Will TCP accept this segment of a connection whose server has sent nothing yet? The watch reads only those: bytes
 * that TCP refuses must not change what the watch believes. The others are let through unread, and TCP decides. The
 * rules are those of tcp_check_req() and tcp_validate_incoming(). Owns nothing.
 */
#ifndef ALPNBPF_ACCEPTABLE_BPF_H
#define ALPNBPF_ACCEPTABLE_BPF_H

#include <bpf/bpf_helpers.h>

#include "steering.h"
#include "tcp_segment.bpf.h"

#define TCP_OPTIONS_MAX 40
#define OPTION_END      0
#define OPTION_NOTHING  1
#define OPTION_TIME     8
#define OPTION_TIME_LEN 10
#define PAWS_WINDOW     1 /* TCP_PAWS_WINDOW */

/*
 * Of this CPU. Not on the stack: a verifier that does not follow what a callback of bpf_loop() writes there takes the
 * value before the loop for the one after it, and removes code that it believes dead.
 */
struct option_walk {
	__u8 bytes[64]; /* at most TCP_OPTIONS_MAX; the rest stays 0, which is OPTION_END */
	__u32 at, time;
	bool found;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct option_walk);
} alpnbpf_options SEC(".maps");

static long option_step(__u32 index, void *data)
{
	struct option_walk *walk = *(struct option_walk **)data;
	__u32 at = walk->at, length;

	(void)index;
	if (at >= TCP_OPTIONS_MAX)
		return 1;
	switch (walk->bytes[at]) {
	case OPTION_END:
		return 1;
	case OPTION_NOTHING:
		walk->at = at + 1;
		return 0;
	}
	length = walk->bytes[at + 1];
	if (length < 2)
		return 1;
	if (walk->bytes[at] == OPTION_TIME && length == OPTION_TIME_LEN) {
		walk->time = (__u32)walk->bytes[at + 2] << 24 | (__u32)walk->bytes[at + 3] << 16 |
			     (__u32)walk->bytes[at + 4] << 8 | walk->bytes[at + 5];
		walk->found = true;
		return 1;
	}
	walk->at = at + length;
	return 0;
}

/* The segment's timestamp (RFC 7323 section 3.2). False if it has none. */
static __noinline bool read_timestamp(struct __sk_buff *skb, const struct segment *segment, __u32 *time)
{
	__u32 length = segment->offset - segment->header - TCP_HEADER, zero = 0;
	struct option_walk *walk = bpf_map_lookup_elem(&alpnbpf_options, &zero);

	if (!walk || length == 0 || length > TCP_OPTIONS_MAX)
		return false;
	__builtin_memset(walk, 0, sizeof(*walk));
	if (bpf_skb_load_bytes(skb, segment->header + TCP_HEADER, walk->bytes, bounded(length, sizeof(walk->bytes))))
		return false;
	bpf_loop(TCP_OPTIONS_MAX, option_step, &walk, 0);
	*time = walk->time;
	return walk->found;
}

static __noinline bool is_acceptable(struct __sk_buff *skb, const struct segment *segment,
				     const struct steer_agreed *agreed)
{
	__u32 end = segment->seq + segment->length, time = 0;

	/* The server has sent nothing, so there is one acknowledgement that it has not seen before and may see. */
	if (segment->ack != agreed->next)
		return false;
	if ((__s32)(segment->seq - agreed->receive_from) < 0 && (__s32)(end - agreed->receive_from) <= 0)
		return false;
	if ((__s32)(end - (agreed->receive_from + agreed->receive_window)) > 0)
		return false;
	/* Linux accepts a segment without a timestamp, also if timestamps were agreed on. */
	return !agreed->timestamps || !agreed->timestamp_recent || !read_timestamp(skb, segment, &time) ||
	       (__s32)(agreed->timestamp_recent - time) <= (agreed->deferred ? 0 : PAWS_WINDOW);
}

#endif
