/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds an skb to the ClientHello parser: the BPF counterpart of clienthello_feed(). For sk_skb, tc and socket filters.
 * The including file provides the types, struct __sk_buff and bpf/bpf_helpers.h before this header. Needs Linux 5.17
 * (bpf_loop); owns no map and no state.
 */
#ifndef CLIENTHELLO_BPF_H
#define CLIENTHELLO_BPF_H

#include "clienthello.h"

struct clienthello_skb {
	struct clienthello *ch;
	const struct clienthello_rules *rules;
	struct __sk_buff *skb;
	__u32 offset;
	__u32 left;
};

/*
 * One step. Loads have a constant size, and the state stays in the caller's map, so no scalar on the stack must be
 * known precisely, and every kernel's verifier finishes the loop after one or two iterations.
 */
static __always_inline long clienthello_skb_take(struct clienthello_skb *at, const struct clienthello_rules *rules)
{
	struct clienthello *ch = at->ch;
	__u32 left = at->left;
	__u32 count = clienthello_span(ch);
	__u32 value = 0;
	__u8 raw[CLIENTHELLO_FIELD_MAX];

	if (!left)
		return 1;
	if (clienthello_skips(ch)) {
		if (count > left)
			count = left;
	} else if (left >= CLIENTHELLO_FIELD_MAX) {
		/* loads the field and bytes after it, which are shifted out again */
		if (bpf_skb_load_bytes(at->skb, at->offset, raw, sizeof(raw)))
			goto unreadable;
		value = (__u32)raw[0] << 24 | (__u32)raw[1] << 16 | (__u32)raw[2] << 8 | raw[3];
		value >>= 8 * (CLIENTHELLO_FIELD_MAX - count);
	} else {
		if (bpf_skb_load_bytes(at->skb, at->offset, raw, 1))
			goto unreadable;
		value = raw[0];
		count = 1;
	}
	clienthello_step(ch, value, count, rules);
	at->offset += count;
	at->left = left - count;
	return ch->result != CLIENTHELLO_MORE;

unreadable:
	/* The skb's bytes cannot be read: give up on this hello, and route it like a malformed one. */
	clienthello_decide(ch, CLIENTHELLO_MALFORMED);
	return 1;
}

static long clienthello_skb_step(__u32 index, void *context)
{
	(void)index;
	return clienthello_skb_take(context, NULL);
}

/* A step of its own, so that the one without rules has no code for them. */
static long clienthello_skb_step_rules(__u32 index, void *context)
{
	struct clienthello_skb *at = context;

	(void)index;
	return clienthello_skb_take(at, at->rules);
}

/*
 * Feeds `length` bytes of the skb from `offset` on; offset + length <= skb->len. `ch` points into a map value that
 * nothing else writes meanwhile, `rules` into an array's value, or it is NULL. The result and the state are the same as
 * those of clienthello_feed() for the same bytes.
 */
static __always_inline enum clienthello_result clienthello_feed_skb(struct clienthello *ch, struct __sk_buff *skb,
								    __u32 offset, __u32 length,
								    const struct clienthello_rules *rules)
{
	struct clienthello_skb at = {.ch = ch, .rules = rules, .skb = skb, .offset = offset, .left = length};
	__u32 steps = length < CLIENTHELLO_WIRE_MAX ? length : CLIENTHELLO_WIRE_MAX;

	/*
	 * A step takes at least one byte, and the decision comes within CLIENTHELLO_WIRE_MAX bytes, so the bound never
	 * ends the loop early.
	 */
	if (!length || ch->result != CLIENTHELLO_MORE)
		return ch->result;
	if (rules)
		bpf_loop(steps, clienthello_skb_step_rules, &at, 0);
	else
		bpf_loop(steps, clienthello_skb_step, &at, 0);
	return ch->result;
}

#endif
