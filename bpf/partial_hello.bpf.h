/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A ClientHello that is read as it passes, segment by segment, before TCP has put them in order. What there is of one
 * in several segments lives with the socket, and no longer than until the hello is decided.
 */
#ifndef ALPNBPF_PARTIAL_HELLO_BPF_H
#define ALPNBPF_PARTIAL_HELLO_BPF_H

#include <bpf/bpf_helpers.h>

#include "clienthello.bpf.h"
#include "tcp_segment.bpf.h"

/* A hello of which more is to come. */
struct partial_hello {
	struct steer_connection ends;
	struct clienthello parsed; /* up to `next` */
	struct clienthello before; /* up to `last`: that segment may come again, with more in it */
	struct clienthello trial;  /* with the segment that is looked at, until it is known what becomes of that */
	__u32 first, last, next;   /* sequence numbers; what is before `next` was let through */
	__u32 busy; /* with a socket: a CPU is at it; of a CPU: a deferred connection waits for its socket */
	__u8 kept[STEER_KEPT_MAX]; /* what the server has by now, from `first` on */
};

/* … of a connection */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct partial_hello);
} alpnbpf_partial SEC(".maps");

/*
 * … of this CPU: where a hello's first segment is read. With TCP_DEFER_ACCEPT that segment makes the connection, and
 * sock_ops finds here what its socket has to know, before TCP has gone on to another packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct partial_hello);
} alpnbpf_scratch SEC(".maps");

/* A length from 1 to `most`, a power of two, as it is, in a form in which every verifier sees that. */
static __always_inline __u32 bounded(__u32 length, __u32 most)
{
	length--;
	asm volatile("" : "+r"(length));
	return (length & (most - 1)) + 1;
}

enum reading {
	READ_NOTHING_NEW, /* all of it was there before */
	READ_TOO_EARLY,   /* something is missing before it */
	READ_DECIDED,     /* the web server's */
	READ_KEPT,        /* more is needed, and what there is is kept */
	READ_TAKE_OVER,
};

/*
 * Read a segment of a hello. `skip`: how many of its bytes were there before. The last one is read again when it comes
 * again, or is part of one that does: the server's TCP may have had no room for it. Nothing changes unless it is kept.
 */
static __noinline int read_hello(struct __sk_buff *skb, const struct segment *segment, struct partial_hello *hello,
				 __u32 *skip)
{
	__u32 fresh, at, from = hello->next;

	if ((__s32)(segment->seq - hello->next) > 0)
		return READ_TOO_EARLY;
	hello->trial = hello->parsed;
	if ((__s32)(segment->seq - hello->last) <= 0 && (__s32)(segment->seq + segment->length - hello->next) >= 0) {
		hello->trial = hello->before;
		from = hello->last;
	}
	*skip = from - segment->seq;
	if (*skip >= segment->length)
		return READ_NOTHING_NEW;
	fresh = segment->length - *skip;
	at = from - hello->first;
	switch (clienthello_feed_skb(&hello->trial, skb, segment->offset + *skip, fresh, NULL)) {
	case CLIENTHELLO_MORE:
		break;
	case CLIENTHELLO_ACME:
		return READ_TAKE_OVER;
	default:
		return READ_DECIDED;
	}
	asm volatile("" : "+r"(at)); /* what follows is what older verifiers know of it */
	if (at >= STEER_KEPT_AT || fresh > STEER_PIECE_MAX)
		return READ_TAKE_OVER;
	if (bpf_skb_load_bytes(skb, segment->offset + *skip, hello->kept + at, bounded(fresh, STEER_PIECE_MAX)))
		return READ_TOO_EARLY;
	if (from == hello->next)
		hello->before = hello->parsed;
	hello->parsed = hello->trial;
	hello->last = from;
	hello->next = from + fresh;
	return READ_KEPT;
}

static __always_inline void begin_hello(struct partial_hello *hello, const struct segment *segment)
{
	__builtin_memset(&hello->parsed, 0, sizeof(hello->parsed));
	hello->before = hello->parsed;
	hello->first = hello->last = hello->next = segment->seq;
	hello->busy = 0;
}

#endif
