/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the verdict (bpf/) and the worker (user/) share: keys, struct flow, routes, limits. Fixed-width types only;
 * compiled for BPF and natively.
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

/* The route of a session, which selects its backend. */
enum route {
	ROUTE_UNDECIDED = 0,
	ROUTE_HTTPS = 1,
	ROUTE_ACME = 2,
	ROUTE_RULE = 3, /* the first --route; the others follow */
	ROUTES = ROUTE_RULE + CLIENTHELLO_RULES_MAX,
};

/* The key of a side in `alpnbpf_socks` and `alpnbpf_flows`, and its value in `alpnbpf_slots`. */
#define SIDE_KEY(slot, side) (2 * (slot) + (side))

/* What the verdict may do with a flow; written only by the worker. */
enum flow_mode {
	FLOW_HELD = 0, /* the other side is not connected: pass everything */
	FLOW_LIVE = 1, /* redirect while the invariant below allows it */
	FLOW_USER = 2, /* pass everything for the rest of the session */
};

/* A fault that the verdict found and cannot repair; the worker counts it and resets the session. */
enum flow_fault {
	FLOW_FAULT_NONE = 0,
	FLOW_FAULT_GAP = 1,      /* fewer new bytes than the segment holds: bytes are missing */
	FLOW_FAULT_TRIM = 2,     /* overlapping bytes could not be trimmed */
	FLOW_FAULT_REDIRECT = 3, /* bpf_sk_redirect_map() failed: the segment is lost */
	FLOW_FAULTS = 4,
};

/*
 * One direction of a session: bytes that arrive on a side and leave on `!side`. flows[SIDE_KEY(slot, side)].
 *
 * THE INVARIANT OF THE DATA PATH
 *   A flow may redirect only while nothing is owed (passed == forwarded), and the worker may forward only while
 *   nothing redirected is still in flight to the other side's TCP.
 *
 * Only the verdict writes the first cache line, under the source socket's lock. Only the worker writes the second one,
 * `forwarded` after send() has returned. There is no other synchronisation. All counters are bytes, and only grow.
 *
 * A pass must not be lost on the worker: the verdict adds to `passed`, with a full barrier, and then reads `forwarded`;
 * the worker stores `forwarded`, with a full barrier, and then reads `passed`. One of the two sees the other's write,
 * so a flow that owes bytes is either being moved or has an event under way.
 */
struct flow {
	/* verdict */
	__u64 redirected;
	__u64 passed;
	__u64 trimmed;      /* overlapping bytes removed (docs/KERNEL.md 1) */
	__u32 next_seq;     /* next TCP sequence number expected; valid when started */
	__u32 written_base; /* target's write_seq - (redirected + forwarded) at the first redirect; valid when based */
	__u8 started;
	__u8 based;
	__u8 route;        /* enum route, from the ClientHello (CLIENT side only) */
	__u8 hello_result; /* enum clienthello_result */
	__u8 fault;        /* enum flow_fault */
	__u8 pad0[3];
	/* worker; on a cache line of its own, so that the two writers do not share one */
	__u64 forwarded __attribute__((aligned(64)));
	__u32 mode;         /* enum flow_mode */
	__u16 route_chosen; /* enum route that the worker chose; once set, the verdict stops parsing */
	__u16 rules;        /* the entry of `alpnbpf_rules` for the hello, + 1; 0: no rules */
	/* Written by the reader of the hello, the verdict or the worker, until the route is decided. */
	struct clienthello hello;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct flow) == 128, "two cache lines");

/* The route of a hello; ROUTE_UNDECIDED while more bytes are needed. */
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
 * A record of the event ring: the side whose flow needs user space. It is only a hint to look at the flow. One that
 * comes late, twice, or for a slot that has a new session does no harm.
 */
struct flow_event {
	__u32 key; /* SIDE_KEY */
};

#endif
