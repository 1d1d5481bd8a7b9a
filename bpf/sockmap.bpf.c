// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The verdict: runs on every segment that arrives on a socket of a session, under that socket's lock. It decides the
 * route of a new session, and redirects or passes the bytes of a flow. It owns the first cache line of struct flow.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "alpnbpf.h"
#include "clienthello.bpf.h"

#define TCPHDR_FIN 0x01

/* bpf_skb_adjust_room() refuses more than this at once (net/core/filter.c, sk_skb_adjust_room). */
#define TRIM_STEP 0xfffU
/* The largest skb is 64 KiB, or 512 KiB with BIG TCP; a longer overlap is a fault. */
#define TRIM_STEPS 160

/* The overhead of a segment in the target's send queue: a socket buffer head and its shared info. */
#define SEND_OVERHEAD 1280U
/* The largest segments that TCP usually makes (sk_gso_max_size is at least twice that). */
#define SEND_GOAL_MAX 32768U
#define SEND_GOAL_MIN 256U

/* Set between open and load. */
const volatile __u32 slots_per_worker = 1;
/* If false, `alpnbpf_rules` has no room for a table, and the verifier skips the code that reads one. */
const volatile bool with_rules = false;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u64);
	__type(value, __u32);
} alpnbpf_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct flow);
} alpnbpf_flows SEC(".maps");

/* One ring per worker: worker index -> ring buffer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 4096);
		});
} alpnbpf_rings SEC(".maps");

/* One counter per worker: events that did not fit into its ring. The worker then looks at all its flows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} alpnbpf_lost SEC(".maps");

/* Rules for hellos: one table in use, and one for the rules of the next reload. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct clienthello_rules));
} alpnbpf_rules SEC(".maps");

static __always_inline struct flow *flow_of(__u32 key)
{
	return bpf_map_lookup_elem(&alpnbpf_flows, &key);
}

static __noinline int send_event(__u32 key)
{
	struct flow_event event = {.key = key};
	__u32 worker = (key >> 1) / slots_per_worker;
	void *ring = bpf_map_lookup_elem(&alpnbpf_rings, &worker);
	__u64 *lost;

	if (ring && bpf_ringbuf_output(ring, &event, sizeof(event), 0) == 0)
		return 0;
	/* A full ring has already woken the worker, which reads this counter after the ring. */
	lost = bpf_map_lookup_elem(&alpnbpf_lost, &worker);
	if (lost)
		__sync_fetch_and_add(lost, 1);
	/* If the worker emptied the ring and read the counter in between, there is room for the event now. */
	return ring && bpf_ringbuf_output(ring, &event, sizeof(event), BPF_RB_FORCE_WAKEUP) == 0 ? 0 : -1;
}

/* After a fault the segment is dropped, and the worker resets the session. */
static __always_inline int fail_flow(struct flow *flow, __u32 key, __u8 fault)
{
	if (!flow->fault)
		flow->fault = fault;
	send_event(key);
	return SK_DROP;
}

struct trim_loop {
	struct __sk_buff *skb;
	__u32 left;
	__u32 failed;
};

static long trim_step(__u32 index, void *data)
{
	struct trim_loop *loop = data;
	__u32 cut = loop->left;

	(void)index;
	if (!cut)
		return 1;
	if (cut > TRIM_STEP)
		cut = TRIM_STEP;
	if (bpf_skb_adjust_room(loop->skb, -(__s32)cut, 0, 0)) {
		loop->failed = 1;
		return 1;
	}
	loop->left -= cut;
	return 0;
}

/* Removes the first `length` bytes of the skb. Nonzero on failure. */
static __noinline int trim_head(struct __sk_buff *skb, __u32 length)
{
	struct trim_loop loop = {.skb = skb, .left = length};

	bpf_loop(TRIM_STEPS, trim_step, &loop, 0);
	return loop.failed || loop.left;
}

/*
 * The end of the segment's data in sequence space, from TCP's control block in skb->cb. Uses end_seq, not seq, so that
 * a future kernel that skips overlaps itself is not corrected twice.
 */
static __always_inline __u32 data_end_seq(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = (struct sk_buff *)skb;
	struct tcp_skb_cb *cb = (struct tcp_skb_cb *)&kernel_skb->cb;
	__u32 end_seq = 0;
	__u16 flags = 0;

	bpf_probe_read_kernel(&end_seq, sizeof(end_seq), &cb->end_seq);
	if (bpf_core_field_size(cb->tcp_flags) == 2)
		bpf_probe_read_kernel(&flags, sizeof(flags), &cb->tcp_flags);
	else
		bpf_probe_read_kernel(&flags, 1, &cb->tcp_flags); /* little endian: the low byte; see below */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	if (bpf_core_field_size(cb->tcp_flags) != 2)
		flags >>= 8;
#endif
	return end_seq - ((flags & TCPHDR_FIN) ? 1 : 0);
}

/*
 * tcp_read_skb() hands over whole segments, including bytes that were received before (docs/KERNEL.md 1). Removes
 * these, and returns the number of new bytes, or -1 after a fault.
 */
static __always_inline __s64 trim_overlap(struct __sk_buff *skb, struct flow *flow)
{
	__u32 end = data_end_seq(skb);
	__u32 len = skb->len;
	__s32 fresh;

	if (!flow->started) {
		struct bpf_sock *sk = skb->sk;
		struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

		if (!tcp) {
			flow->fault = FLOW_FAULT_GAP;
			return -1;
		}
		flow->next_seq = tcp->copied_seq;
		flow->started = 1;
	}
	fresh = (__s32)(end - flow->next_seq);
	if (fresh < 0)
		fresh = 0;
	if ((__u32)fresh > len) {
		flow->fault = FLOW_FAULT_GAP;
		return -1;
	}
	if ((__u32)fresh < len) {
		if (trim_head(skb, len - (__u32)fresh)) {
			flow->fault = FLOW_FAULT_TRIM;
			return -1;
		}
		flow->trimmed += len - (__u32)fresh;
	}
	flow->next_seq += (__u32)fresh;
	return fresh;
}

/*
 * The space that `bytes` take in the target's send queue. A peer with a small window gets segments of at most half the
 * window (tcp_bound_to_half_wnd), and then most of the space is overhead.
 */
static __always_inline __u32 queue_bytes(__u32 bytes, __u32 max_window)
{
	__u32 goal = max_window / 2;

	if (goal > SEND_GOAL_MAX)
		goal = SEND_GOAL_MAX;
	if (goal < SEND_GOAL_MIN)
		goal = SEND_GOAL_MIN;
	return bytes + (bytes / goal + 1) * SEND_OVERHEAD;
}

/*
 * Does the target's TCP have room for `len` more bytes, counting redirected bytes that its backlog worker has not
 * handed over yet? A redirect has no back-pressure of its own (docs/KERNEL.md 2). The target is not locked: a stale
 * answer only changes when the flow begins to be passed.
 */
static __always_inline bool has_room(struct flow *flow, __u32 target_key, __u32 len)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&alpnbpf_socks, &target_key);
	__u32 write_seq, moved, queued, limit, max_window;
	struct tcp_sock *tcp;
	__s32 pending;

	if (!sk)
		return false;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp) {
		bpf_sk_release(sk);
		return false;
	}
	write_seq = tcp->write_seq;
	max_window = tcp->max_window;
	queued = (__u32)tcp->inet_conn.icsk_inet.sk.sk_wmem_queued;
	limit = (__u32)tcp->inet_conn.icsk_inet.sk.sk_sndbuf;
	bpf_sk_release(sk);

	moved = (__u32)(flow->redirected + flow->forwarded);
	if (!flow->based) {
		/* Nothing is owed or under way, so write_seq counts exactly the forwarded bytes. */
		flow->written_base = write_seq - moved;
		flow->based = 1;
	}
	pending = (__s32)(moved - (write_seq - flow->written_base));
	if (pending < 0)
		pending = 0; /* send() has returned, but `forwarded` is not published yet */
	return (__u64)queued + queue_bytes((__u32)pending + len, max_window) <= limit;
}

/*
 * Does this segment come from a long backlog of its socket? While a process holds the socket's lock (a recv(), the
 * backlog worker's send), segments queue up in the backlog, and all of them count as used space when the window is
 * computed, until the last one is processed. Over loopback, where each acknowledgement brings the next burst into the
 * same backlog, the window can shrink to zero. Nothing corrects that for a redirected flow, and the sender waits 200 ms
 * for its persist timer (docs/KERNEL.md 6b). If the segment is passed instead, a recv() follows, which opens the window
 * again.
 */
static __always_inline bool in_long_backlog(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tcp && 2 * tcp->inet_conn.icsk_inet.sk.sk_backlog.len > tcp->inet_conn.icsk_inet.sk.sk_rcvbuf;
}

static __always_inline const struct clienthello_rules *rules_of(const struct flow *flow)
{
	__u32 entry = flow->rules;

	if (!with_rules || !entry)
		return NULL;
	entry--;
	return bpf_map_lookup_elem(&alpnbpf_rules, &entry);
}

/* Feeds the hello parser. True if this segment decided the route. */
static __always_inline bool decide_route(struct __sk_buff *skb, struct flow *flow, __u32 len)
{
	enum clienthello_result result = clienthello_feed_skb(&flow->hello, skb, 0, len, rules_of(flow));

	if (result == CLIENTHELLO_MORE)
		return false;
	flow->hello_result = (__u8)result;
	flow->route = route_of_hello(&flow->hello);
	return true;
}

SEC("sk_skb")
int alpnbpf_verdict(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct flow *flow, *client;
	bool decided = false;
	__u64 passed_before;
	__u32 key, len;
	__u32 *entry;
	__s64 fresh;

	entry = bpf_map_lookup_elem(&alpnbpf_slots, &cookie);
	if (!entry)
		return SK_DROP; /* the worker has closed this socket */
	key = *entry;
	flow = flow_of(key);
	client = flow_of(key & ~1U);
	if (!flow || !client)
		return SK_DROP; /* cannot happen: alpnbpf_slots has only valid keys */

	if (skb->len == 0)
		return SK_DROP; /* a bare FIN breaks the target, or panics when passed; EPOLLRDHUP reports it */
	if (flow->fault)
		return SK_DROP; /* the worker is about to reset the session */

	fresh = trim_overlap(skb, flow);
	if (fresh < 0)
		return fail_flow(flow, key, flow->fault);
	if (fresh == 0)
		return SK_DROP; /* no new bytes */
	len = (__u32)fresh;

	if (flow == client && !flow->route && !flow->route_chosen)
		decided = decide_route(skb, flow, len);

	/*
	 * Before the route is decided nothing is redirected, unless the hello chooses the default route, which may have
	 * a live flow already. The invariant: redirect only while nothing is owed.
	 */
	if (flow->mode == FLOW_LIVE && (client->route == ROUTE_HTTPS || client->route_chosen) &&
	    flow->passed == flow->forwarded && has_room(flow, key ^ 1U, len) && !in_long_backlog(skb)) {
		if (bpf_sk_redirect_map(skb, &alpnbpf_socks, key ^ 1U, 0) != SK_PASS)
			return fail_flow(
				flow, key,
				FLOW_FAULT_REDIRECT); /* the bytes are acknowledged but lost: end the session */
		flow->redirected += len;
		return SK_PASS;
	}

	/* A full barrier between `passed` and `forwarded`: see "A pass must not be lost" at struct flow. */
	passed_before = __sync_fetch_and_add(&flow->passed, len);
	if (decided || *(volatile __u64 *)&flow->forwarded == passed_before)
		send_event(key);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
