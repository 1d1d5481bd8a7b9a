/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A ClientHello that is read as it passes, segment by segment, before TCP has put them in order. A hello in several
 * segments is stored with the socket until it is decided.
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
	struct clienthello trial;  /* with the segment at hand, until its fate is decided */
	__u32 first, last, next;   /* sequence numbers; what is before `next` was let through */
	__u32 busy; /* with a socket: a CPU works on it; of a CPU: a deferred connection waits for its socket */
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
 * … of this CPU, for the first segment of a hello. With TCP_DEFER_ACCEPT that segment creates the socket, and sock_ops
 * moves what is here into it before TCP handles another packet.
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
	READ_KEPT,        /* incomplete, and stored */
	READ_TAKE_OVER,
};

/*
 * Read a segment of a hello. `skip`: how many of its bytes were read before. The latest segment is read again when it
 * is retransmitted, alone or as part of a longer one, because the server's TCP may have had no room for it. The hello
 * changes only for READ_KEPT.
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
	asm volatile("" : "+r"(at)); /* older verifiers know only the bounds that follow */
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
