/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads ClientHellos as they pass to the web server; attached while we are armed. It looks at packets and never changes
 * one; a connection that stays the server's is never anything else. Only one that is not for the server is kept from
 * it, and user space takes it over (struct steer_takeover).
 *
 * It sees packets where sockets get them, before TCP has put them in order: a segment of a hello that comes too early
 * is dropped, as the network might have done, and comes again in its place. What it has read of a hello in several
 * segments lives with the socket (`hellos`), and no longer than until the hello is decided.
 *
 * Part of steer.bpf.c: uses its maps.
 */
#ifndef ALPNBPF_HELLO_WATCH_BPF_H
#define ALPNBPF_HELLO_WATCH_BPF_H

#include "agreed.bpf.h"
#include "clienthello.bpf.h"
#include "tcp_segment.bpf.h"

enum { LET_THROUGH = 1, DROP = 0 }; /* of cgroup_skb/ingress */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} takeovers SEC(".maps");

/* Connections on their way to us: whatever the client sends meanwhile, it will send again. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct steer_connection);
	__type(value, __u8);
} taken SEC(".maps");

/* Where packets of theirs go that find no socket, so that nobody answers with a reset: listeners that drop all. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, STEER_FAMILIES);
	__type(key, __u32);
	__type(value, __u64);
} pits SEC(".maps");

/* Listeners of ours, and what they accept: sessions already, or about to be. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u8);
} own_sockets SEC(".maps");

/* A hello of which more is to come. */
struct passing_hello {
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
	__type(value, struct passing_hello);
} hellos SEC(".maps");

/*
 * … of this CPU: where a hello's first segment is read. With TCP_DEFER_ACCEPT that segment makes the connection, and
 * sock_ops finds here what its socket has to know, before TCP has gone on to another packet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct passing_hello);
} first_segment SEC(".maps");

/* Is it a connection to a watched address, and not our own? */
static __always_inline bool is_watched(const struct segment *segment)
{
	return rule_of(&segment->ends.to) && !bpf_map_lookup_elem(&ours, &segment->ends);
}

/* A bit for every port that connections to a watched address may have. */
__u32 watched_ports[65536 / 32] = {};

static __always_inline bool is_watched_port(__u32 port)
{
	return *(volatile __u32 *)&watched_ports[(port & 0xffff) / 32] & 1U << (port & 31);
}

static __always_inline bool is_here(struct tcp_sock *tcp)
{
	/* There is no helper that tells before 6.14. */
	return tcp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->net_cookie == netns_cookie;
}

/* A length from 1 to `most`, a power of two, as it is, in a form in which every verifier sees that. */
static __always_inline __u32 bounded(__u32 length, __u32 most)
{
	length--;
	asm volatile("" : "+r"(length));
	return (length & (most - 1)) + 1;
}

/* --- taking over --- */

/*
 * Not one whose server has said something, or its end, already; nor a subflow of MPTCP, which TCP alone could not go on
 * with; nor one that a packet from loopback would not reach.
 */
static __always_inline bool can_take(const struct bpf_sock *sk, const struct bpf_tcp_sock *counts,
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

/* All but the bytes. */
static __always_inline void describe(struct __sk_buff *skb, const struct segment *segment,
				     const struct passing_hello *hello, const struct steer_agreed *agreed,
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

/* Of the hello `kept` bytes go before the segment, without its first `skip`. */
static __noinline int take_over(struct __sk_buff *skb, const struct segment *segment, const struct passing_hello *hello,
				const struct steer_agreed *agreed, __u32 skip)
{
	__u32 kept = segment->seq + skip - hello->first, piece = segment->length - skip;
	bool brief = kept == 0 && piece <= STEER_BRIEF_MAX;
	struct steer_takeover *record;
	__u8 one = 1;
	long failed;

	if (brief)
		record = bpf_ringbuf_reserve(&takeovers, STEER_BRIEF_SIZE, 0);
	else
		record = bpf_ringbuf_reserve(&takeovers, sizeof(*record), 0);
	if (!record)
		return DROP; /* it comes again */
	describe(skb, segment, hello, agreed, record);
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
		asm volatile("" : "+r"(kept)); /* said here, where older verifiers know of it still */
		failed =
			kept > STEER_KEPT_MAX || bpf_probe_read_kernel(record->kept, kept, hello->kept) ||
			bpf_skb_load_bytes(skb, segment->offset + skip, record->piece, bounded(piece, STEER_PIECE_MAX));
	}
	if (failed)
		goto discard;
	/* Counted first: who sees nothing to look for must be right. */
	__sync_fetch_and_add(&state.taking, 1);
	if (bpf_map_update_elem(&taken, &segment->ends, &one, BPF_NOEXIST)) {
		__sync_fetch_and_add(&state.taking, -1);
		goto discard;
	}
	bpf_ringbuf_submit(record, 0);
	return DROP;
discard:
	bpf_ringbuf_discard(record, 0);
	return DROP;
}

/* --- reading --- */

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
static __noinline int read_hello(struct __sk_buff *skb, const struct segment *segment, struct passing_hello *hello,
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

static __always_inline void begin(struct passing_hello *hello, const struct segment *segment)
{
	__builtin_memset(&hello->parsed, 0, sizeof(hello->parsed));
	hello->before = hello->parsed;
	hello->first = hello->last = hello->next = segment->seq;
	hello->busy = 0;
}

/* The first bytes of a connection. */
static __always_inline int look_at_first(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					 const struct bpf_tcp_sock *counts, const struct segment *segment)
{
	struct passing_hello *hello, *with_socket;
	struct steer_agreed agreed = {};
	__u32 zero = 0, skip = 0;

	hello = bpf_map_lookup_elem(&first_segment, &zero);
	if (!hello)
		return LET_THROUGH;
	if (sk->state == BPF_TCP_LISTEN) {
		if (!agreed_with_request(skb, segment, &agreed))
			return LET_THROUGH; /* a SYN cookie's: nothing is known of it */
	} else {
		agreed_with_socket(tcp, counts, &agreed);
	}
	if ((__s32)(segment->seq - agreed.expected) < 0)
		return LET_THROUGH;
	/* Something is missing before it, unless that waits for the server's process to let the socket go. */
	if (segment->seq != agreed.expected)
		return !agreed.deferred && tcp->inet_conn.icsk_inet.sk.sk_backlog.len ? LET_THROUGH : DROP;
	begin(hello, segment);
	switch (read_hello(skb, segment, hello, &skip)) {
	case READ_DECIDED:
	case READ_NOTHING_NEW:
		return LET_THROUGH;
	case READ_TOO_EARLY:
		return DROP;
	case READ_KEPT:
		break;
	default:
		if (!can_take(sk, counts, segment, &agreed))
			return LET_THROUGH;
		return take_over(skb, segment, hello, &agreed, 0);
	}
	if (agreed.deferred) {
		hello->ends = segment->ends;
		hello->busy = 1; /* for connection_made() */
		return LET_THROUGH;
	}
	with_socket = bpf_sk_storage_get(&hellos, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!with_socket) { /* no memory: rather a validation is missed than a connection of the server's lost */
		__sync_fetch_and_add(&state.untakable, 1);
		return LET_THROUGH;
	}
	bpf_probe_read_kernel(with_socket, sizeof(*with_socket), hello);
	return LET_THROUGH;
}

/* Further bytes of a hello. */
static __always_inline int look_at_next(struct __sk_buff *skb, struct bpf_sock *sk, struct tcp_sock *tcp,
					const struct bpf_tcp_sock *counts, const struct segment *segment,
					struct passing_hello *hello)
{
	struct steer_agreed agreed = {};
	__u32 skip = 0;
	int verdict = DROP;

	if (__sync_fetch_and_add(&hello->busy, 1)) {
		__sync_fetch_and_add(&hello->busy, -1);
		return DROP;
	}
	switch (read_hello(skb, segment, hello, &skip)) {
	case READ_TOO_EARLY:
		break;
	case READ_DECIDED:
		bpf_sk_storage_delete(&hellos, sk);
		return LET_THROUGH;
	case READ_NOTHING_NEW:
	case READ_KEPT:
		verdict = LET_THROUGH;
		break;
	default:
		agreed_with_socket(tcp, counts, &agreed);
		if (!can_take(sk, counts, segment, &agreed)) {
			bpf_sk_storage_delete(&hellos, sk);
			return LET_THROUGH;
		}
		verdict = take_over(skb, segment, hello, &agreed, skip);
	}
	__sync_fetch_and_add(&hello->busy, -1);
	return verdict;
}

SEC("cgroup_skb/ingress")
int look(struct __sk_buff *skb)
{
	__u32 taking = *(volatile __u32 *)&state.taking;
	struct passing_hello *hello;
	struct bpf_tcp_sock *counts;
	struct segment segment = {};
	struct tcp_sock *tcp;
	struct bpf_sock *sk = skb->sk;

	/* Nobody listens any more, and this program is about to be detached: what is half there is the server's. */
	if (!taking && !may_be_armed())
		return LET_THROUGH;
	if (!sk)
		return LET_THROUGH;
	sk = bpf_sk_fullsock(sk);
	/* A listener may have been given a connection to another port than its own. */
	if (!sk || (sk->state != BPF_TCP_LISTEN && !is_watched_port(sk->src_port)))
		return LET_THROUGH;
	counts = bpf_tcp_sock(sk);
	if (!counts)
		return LET_THROUGH;
	hello = bpf_sk_storage_get(&hellos, sk, NULL, 0);
	/* Most packets end here: those of a connection whose hello is behind it, and those that say nothing. */
	if (!hello && !taking && (counts->bytes_received || !*(volatile __u32 *)&state.watching))
		return LET_THROUGH;
	if (!read_segment(skb, &segment) || (!taking && !segment.length))
		return LET_THROUGH;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp || !is_here(tcp) || !read_addresses(skb, &segment))
		return LET_THROUGH;
	if (taking && bpf_map_lookup_elem(&taken, &segment.ends))
		return segment.flags & TCPHDR_RST ? LET_THROUGH : DROP;
	if (!segment.length || (segment.flags & (TCPHDR_SYN | TCPHDR_RST | TCPHDR_ACK)) != TCPHDR_ACK)
		return LET_THROUGH;
	/* The watch is over, or another CPU has let more through than is known here: the connection is the server's. */
	if (hello && (!*(volatile __u32 *)&state.watching || (__s32)(counts->rcv_nxt - hello->next) > 0)) {
		bpf_sk_storage_delete(&hellos, sk);
		return LET_THROUGH;
	}
	if (hello)
		return is_intact(skb, &segment) ? look_at_next(skb, sk, tcp, counts, &segment, hello) : DROP;
	if (bpf_sk_storage_get(&own_sockets, sk, NULL, 0))
		return LET_THROUGH;
	if (counts->bytes_received || !*(volatile __u32 *)&state.watching || !is_armed() || !is_watched(&segment))
		return LET_THROUGH;
	return is_intact(skb, &segment) ? look_at_first(skb, sk, tcp, counts, &segment) : DROP;
}

/* sock_ops: a deferred connection gets its socket, from the segment that was looked at a moment ago. */
static __always_inline void connection_made(struct bpf_sock_ops *ops, const struct steer_connection *ends)
{
	struct passing_hello *hello, *with_socket;
	struct bpf_sock *sk = ops->sk;
	__u32 zero = 0;

	hello = bpf_map_lookup_elem(&first_segment, &zero);
	if (!sk || !hello || !hello->busy)
		return;
	hello->busy = 0;
	if (hello->first != ops->rcv_nxt || !same_end(&hello->ends.from, &ends->from) ||
	    !same_end(&hello->ends.to, &ends->to))
		return;
	with_socket = bpf_sk_storage_get(&hellos, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (with_socket)
		bpf_probe_read_kernel(with_socket, sizeof(*with_socket), hello);
	else
		__sync_fetch_and_add(&state.untakable, 1);
}

#endif
