/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All that the verdict (bpf/) and the worker (user/) share: keys, struct flow, routes, limits.
 * Fixed-width types only; compiled for BPF and natively from this one file.
 */
#ifndef ALPNBPF_H
#define ALPNBPF_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "clienthello.h"

/* The two sides of a session; `!side` is the other. */
enum side {
	CLIENT = 0,
	BACKEND = 1,
	SIDES = 2,
};

/* Why a backend was chosen. */
enum route {
	ROUTE_UNDECIDED = 0,
	ROUTE_HTTPS = 1,
	ROUTE_ACME = 2,
	ROUTE_RULE = 3, /* … and on: the first --route, and those behind it */
	ROUTES = ROUTE_RULE + CLIENTHELLO_RULES_MAX,
};

/* Key of a side in `socks` and `flows`, and the value stored in `slots`. */
#define SIDE_KEY(slot, side) (2 * (slot) + (side))

/* What the worker lets a flow do; written by the worker alone. */
enum flow_mode {
	FLOW_HELD = 0, /* the other side is not connected: everything is passed */
	FLOW_LIVE = 1, /* bytes may be redirected while the invariant below holds */
	FLOW_USER = 2, /* everything is passed for the rest of the session */
};

/* What the verdict met and cannot repair; the worker resets the session and counts it. */
enum flow_fault {
	FLOW_FAULT_NONE = 0,
	FLOW_FAULT_GAP = 1,      /* fewer new bytes than the segment holds: bytes are missing */
	FLOW_FAULT_TRIM = 2,     /* overlapping bytes could not be cut off */
	FLOW_FAULT_REDIRECT = 3, /* bpf_sk_redirect_map() refused: the segment is gone */
	FLOW_FAULTS = 4,
};

/*
 * One direction of a session: bytes that arrive on a side and leave on `!side`. flows[SIDE_KEY(slot, side)].
 *
 * THE INVARIANT OF THE DATA PATH
 *   A flow may redirect only while nothing is owed (passed == forwarded), and the worker may forward only while
 *   nothing redirected is still in flight to the other side's TCP.
 *
 * The first line is written by the verdict alone, under the source socket's lock; the second by the worker alone,
 * `forwarded` after send() returned. That is all the synchronisation there is. All counters are bytes and only grow.
 *
 * A pass must not be lost on the worker: the verdict adds to `passed` with a full barrier and reads `forwarded`
 * after it; the worker stores `forwarded`, puts a full barrier, and reads `passed` after it. One of the two sees
 * the other's write, so a flow that owes bytes is either being moved or has an event on its way.
 */
struct flow {
	/* verdict */
	__u64 redirected;
	__u64 passed;
	__u64 trimmed;      /* overlapping bytes cut off (docs/KERNEL.md 1) */
	__u32 next_seq;     /* next TCP sequence number expected; valid when started */
	__u32 written_base; /* target's write_seq - (redirected + forwarded) at the first redirect; valid when based */
	__u8 started;
	__u8 based;
	__u8 route;        /* enum route, as the ClientHello says (CLIENT side only) */
	__u8 hello_result; /* enum clienthello_result */
	__u8 fault;        /* enum flow_fault */
	__u8 pad0[3];
	/* worker; a line of its own, so that the two writers do not share one */
	__u64 forwarded __attribute__((aligned(64)));
	__u32 mode;         /* enum flow_mode */
	__u16 route_chosen; /* enum route the worker settled on; the verdict stops parsing when set */
	__u16 rules;        /* the entry of the map `rules` a hello is held against, + 1; 0: there are no rules */
	/* the reader of the hello, the verdict or the worker, until the route is decided; nothing else here changes
	 * before that */
	struct clienthello hello;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct flow) == 128, "two lines");

/* The route of a hello that has been read; ROUTE_UNDECIDED while more is needed. */
static inline __u8 route_of_hello(const struct clienthello *hello)
{
	switch (hello->result) {
	case CLIENTHELLO_MORE:
		return ROUTE_UNDECIDED;
	case CLIENTHELLO_ACME:
		return ROUTE_ACME;
	case CLIENTHELLO_RULE:
		return (__u8)(ROUTE_RULE + hello->rule);
	}
	return ROUTE_HTTPS;
}

/*
 * A record of the `events` ring: the side whose flow needs user space. A hint to look at the flow, never the state
 * itself: one that comes late, twice, or for a slot that has a new session by now does no harm.
 */
struct flow_event {
	__u32 key; /* SIDE_KEY */
};

#endif
