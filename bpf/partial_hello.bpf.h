/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads a ClientHello in passing, segment by segment, before TCP orders them. A hello in several segments is stored
 * with the socket until it is decided. At most STEER_PARTIAL_MOST are stored: a newer one displaces the oldest.
 */
#ifndef ALPNBPF_PARTIAL_HELLO_BPF_H
#define ALPNBPF_PARTIAL_HELLO_BPF_H

#include <bpf/bpf_helpers.h>

#include "agreed.bpf.h"
#include "clienthello.bpf.h"
#include "state.bpf.h"
#include "tcp_segment.bpf.h"

/* An incomplete hello. Sequence numbers; bytes before `next` were let through, and come from `first` on in `kept`. */
struct partial_hello {
	struct clienthello parsed; /* up to `next` */
	struct clienthello before; /* up to `last`: TCP may refuse that segment, and it comes again */
	struct clienthello trial;  /* with the current segment, until that is accepted */
	__u32 first, last, next;
	__u32 early, early_end; /* bytes that came before their turn; equal: none. They are in `kept`, too */
	__u32 busy;             /* a CPU works on it */
	__u8 kept[STEER_KEPT_MAX];
};

/* The incomplete hello of a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct partial_hello);
} alpnbpf_partial SEC(".maps");

/* The connections with an entry there, in a ring: the next place is that of the oldest. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STEER_PARTIAL_MOST);
	__type(key, __u32);
	__type(value, struct steer_connection);
} alpnbpf_places SEC(".maps");

/* What sock_ops does when the segment that this CPU has just let through creates a socket. */
enum { AFTER_NOTHING, AFTER_STORE, AFTER_TAKE_OVER };

/*
 * Of this CPU. The first segment of a request creates its socket: TCP calls sock_ops before it handles another packet.
 */
struct scratch {
	struct partial_hello hello;
	struct steer_connection displaced; /* its stored hello has lost its place; from.port 0: none */
	__u32 after;                       /* AFTER_... */
	struct steer_takeover record;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} alpnbpf_scratch SEC(".maps");

static __always_inline struct scratch *own_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&alpnbpf_scratch, &zero);
}

static __always_inline void count_untakable(enum steer_untakable why)
{
	__sync_fetch_and_add(&state.untakable[why], 1);
}

/*
 * Takes the oldest place for a connection whose hello will be stored. sock_ops cannot look up the socket whose hello
 * had it: the watch gives up that one, the next time it runs on this CPU.
 */
static __always_inline void take_place(const struct steer_connection *ends, struct scratch *scratch)
{
	__u32 index = __sync_fetch_and_add(&state.partial_hellos, 1) % STEER_PARTIAL_MOST;
	struct steer_connection *place = bpf_map_lookup_elem(&alpnbpf_places, &index);

	if (!place)
		return;
	scratch->displaced = *place;
	*place = *ends;
}

static __noinline void give_up_displaced(struct __sk_buff *skb, struct scratch *scratch)
{
	struct steer_connection old = scratch->displaced;
	struct bpf_sock *sk;

	if (!old.from.port)
		return;
	scratch->displaced.from.port = 0;
	sk = look_up_ends(skb, &old);
	if (!sk)
		return;
	if (bpf_sk_storage_delete(&alpnbpf_partial, sk) == 0)
		count_untakable(STEER_UNTAKABLE_DISPLACED);
	bpf_sk_release(sk);
}

/* Copies bytes of the skb to where they belong. False if there is no room. */
static __always_inline bool keep_bytes(struct __sk_buff *skb, struct partial_hello *hello, __u32 offset, __u32 seq,
				       __u32 length)
{
	__u32 at = seq - hello->first;

	asm volatile("" : "+r"(at)); /* older verifiers know only the bounds checked after this */
	if (at >= STEER_KEPT_AT || length > STEER_PIECE_MAX || !length)
		return false;
	return bpf_skb_load_bytes(skb, offset, hello->kept + at, bounded(length, STEER_PIECE_MAX)) == 0;
}

/* --- feeding the parser with bytes that came before their turn --- */

struct early_walk {
	struct clienthello *ch;
	const __u8 *kept;
	__u32 at, left;
};

static long early_step(__u32 index, void *data)
{
	struct early_walk *walk = data;
	struct clienthello *ch = walk->ch;
	__u32 count = clienthello_skips(ch) ? clienthello_span(ch) : 1;
	__u8 value = 0;

	(void)index;
	if (!walk->left)
		return 1;
	if (count > walk->left)
		count = walk->left;
	if (!clienthello_skips(ch))
		bpf_probe_read_kernel(&value, 1, walk->kept + (walk->at & (8192 - 1)));
	clienthello_step(ch, value, count, NULL);
	walk->at += count;
	walk->left -= count;
	return ch->result != CLIENTHELLO_MORE;
}

/* Do early bytes follow those before `end`? */
static __always_inline bool early_follows(const struct partial_hello *hello, __u32 end)
{
	return hello->early != hello->early_end && (__s32)(end - hello->early) >= 0 &&
	       (__s32)(hello->early_end - end) > 0;
}

/* `trial` has read everything before `from`, where early bytes follow. */
static __noinline void feed_early(struct partial_hello *hello, __u32 from)
{
	struct early_walk walk = {
		.ch = &hello->trial, .kept = hello->kept, .at = from - hello->first, .left = hello->early_end - from};

	if (walk.at + walk.left > STEER_KEPT_MAX || hello->trial.result != CLIENTHELLO_MORE)
		return;
	bpf_loop(STEER_KEPT_MAX, early_step, &walk, 0);
}

/* --- reading --- */

enum reading {
	READ_NOTHING_NEW, /* all bytes were read before */
	READ_EARLY,       /* bytes before it are missing; it is stored */
	READ_TOO_EARLY,   /* the same, but it cannot be stored */
	READ_DECIDED,     /* for the web server */
	READ_KEPT,        /* incomplete, and stored */
	READ_TAKE_OVER,   /* for another route; or too long to store */
};

/* What TCP has of the connection. */
struct progress {
	__u32 expected;   /* the next byte that it expects */
	bool has_backlog; /* segments wait until a process releases the socket */
};

/*
 * Stores a segment that came before its turn. TCP queues it, so the client learns of it (SACK) and retransmits what is
 * missing without waiting for a timeout. False if it leaves another gap, or is too far: then TCP must not have it.
 */
static __always_inline bool keep_early(struct __sk_buff *skb, const struct segment *segment,
				       struct partial_hello *hello)
{
	__u32 end = segment->seq + segment->length;
	bool is_first = hello->early == hello->early_end;

	if (!is_first && ((__s32)(segment->seq - hello->early_end) > 0 || (__s32)(hello->early - end) > 0))
		return false;
	if (!keep_bytes(skb, hello, segment->offset, segment->seq, segment->length))
		return false;
	if (is_first || (__s32)(segment->seq - hello->early) < 0)
		hello->early = segment->seq;
	if (is_first || (__s32)(end - hello->early_end) > 0)
		hello->early_end = end;
	return true;
}

/*
 * Reads a segment of a hello that TCP will accept. *skip: how many of its bytes were read before. Bytes that TCP has
 * are not read again, whatever they are now; a segment that TCP has refused is. The hello changes only for READ_KEPT
 * and READ_EARLY.
 */
static __noinline int read_hello(struct __sk_buff *skb, const struct segment *segment, struct partial_hello *hello,
				 const struct progress *progress, __u32 *skip)
{
	__u32 end = segment->seq + segment->length, from = hello->next;
	bool early;

	if (progress->expected == hello->last && segment->seq == hello->last && !progress->has_backlog) {
		hello->parsed = hello->before; /* TCP has refused it */
		from = hello->next = hello->last;
	}
	if ((__s32)(segment->seq - from) > 0)
		return keep_early(skb, segment, hello) ? READ_EARLY : READ_TOO_EARLY;
	if ((__s32)(end - from) <= 0)
		return READ_NOTHING_NEW;
	*skip = from - segment->seq;
	hello->trial = hello->parsed;
	clienthello_feed_skb(&hello->trial, skb, segment->offset + *skip, end - from, NULL);
	/* Where the two overlap, TCP takes the segment's bytes (tcp_ofo_queue). */
	early = early_follows(hello, end);
	if (early)
		feed_early(hello, end);
	if (hello->trial.result == CLIENTHELLO_ACME)
		return READ_TAKE_OVER;
	if (hello->trial.result != CLIENTHELLO_MORE)
		return READ_DECIDED;
	if (!keep_bytes(skb, hello, segment->offset + *skip, from, end - from))
		return READ_TAKE_OVER;
	hello->before = hello->parsed;
	hello->parsed = hello->trial;
	hello->last = from;
	hello->next = early ? hello->early_end : end;
	if ((__s32)(hello->next - hello->early) >= 0)
		hello->early = hello->early_end = 0;
	return READ_KEPT;
}

static __always_inline void begin_hello(struct partial_hello *hello, __u32 first)
{
	__builtin_memset(&hello->parsed, 0, sizeof(hello->parsed));
	hello->before = hello->parsed;
	hello->first = hello->last = hello->next = first;
	hello->early = hello->early_end = 0;
	hello->busy = 0;
}

#endif
