/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads a ClientHello in passing, segment by segment, before TCP orders them. A hello in several segments is stored
 * with the socket until it is decided.
 */
#ifndef ALPNBPF_PARTIAL_HELLO_BPF_H
#define ALPNBPF_PARTIAL_HELLO_BPF_H

#include <bpf/bpf_helpers.h>

#include "clienthello.bpf.h"
#include "tcp_segment.bpf.h"

/* An incomplete hello. */
struct partial_hello {
	struct steer_connection ends;
	struct clienthello parsed; /* up to `next` */
	struct clienthello before; /* up to `last`: that segment may be retransmitted, with more bytes */
	struct clienthello trial;  /* with the current segment, until that is accepted */
	__u32 first, last, next;   /* sequence numbers; bytes before `next` were let through */
	__u32 busy; /* of a socket: a CPU works on it; of a CPU: a deferred connection waits for its socket */
	__u8 kept[STEER_KEPT_MAX]; /* bytes that the server has, from `first` on */
};

/* The incomplete hello of a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct partial_hello);
} alpnbpf_partial SEC(".maps");

/*
 * The incomplete hello of this CPU, for the first segment. With TCP_DEFER_ACCEPT that segment creates the socket, and
 * sock_ops moves the hello to it before TCP handles another packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct partial_hello);
} alpnbpf_scratch SEC(".maps");

/* Returns `length`, which is from 1 to `most`, a power of two, in a form that every verifier understands. */
static __always_inline __u32 bounded(__u32 length, __u32 most)
{
	length--;
	asm volatile("" : "+r"(length));
	return (length & (most - 1)) + 1;
}

enum reading {
	READ_NOTHING_NEW, /* all bytes were read before */
	READ_TOO_EARLY,   /* bytes before it are missing */
	READ_DECIDED,     /* for the web server */
	READ_KEPT,        /* incomplete, and stored */
	READ_TAKE_OVER,   /* for another route, or too long to store */
};

/*
 * Reads a segment of a hello. *skip: how many of its bytes were read before. If the latest segment is retransmitted,
 * alone or as part of a longer one, it is read again, because the server's TCP may have had no room for it. The hello
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
	asm volatile("" : "+r"(at)); /* older verifiers know only the bounds checked after this */
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
