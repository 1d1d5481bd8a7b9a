/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the steering programs (bpf/steer.bpf.c) and user space share: keys and values of maps, the state, and records of
 * rings. IPv4 addresses are v4-mapped.
 */
#ifndef ALPNBPF_STEERING_H
#define ALPNBPF_STEERING_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Tracked listeners per kind; more cannot be tracked (steer_state.untracked_listeners). */
#define STEER_LISTENERS 16

/* The address and port of an end of a connection; key of `alpnbpf_address`. */
struct steer_endpoint {
	__be32 addr[4];
	__u16 port; /* host order */
	__u16 pad;  /* 0: keys are compared as bytes */
};

/* A connection by both its ends: key of `alpnbpf_own` (ours to the web server) and of `alpnbpf_taken`. */
struct steer_connection {
	struct steer_endpoint from, to;
};

/* The client for which we made a connection: value of `alpnbpf_own`. */
struct steer_client {
	__u64 cookie; /* of our socket: distinguishes connections with the same ends */
	struct steer_endpoint client;
	__u32 pad;
};

/* Value of `alpnbpf_connect`. */
struct steer_connecting {
	struct steer_endpoint client;
	struct steer_connection made; /* from.port is 0 until the SYN is sent */
};

/* What happens to a new connection to a listening address. */
enum steer_rule {
	STEER_IN_PLACE = 1, /* armed: to alpnbpf's private listener; else directly to the web server */
	STEER_BYPASS = 2,   /* armed: to alpnbpf's listener there; else directly to the web server's */
};

enum steer_family { STEER_V4 = 0, STEER_V6 = 1, STEER_FAMILIES = 2 };

/* Index of `alpnbpf_private`. */
#define STEER_PRIVATE(worker, family) (STEER_FAMILIES * (worker) + (family))

/* The kinds of tracked listeners; each has a sockmap (bpf/listener_maps.bpf.h). */
enum steer_kind { STEER_ACME, STEER_HTTPS, STEER_KINDS };

/* Value of `alpnbpf_named`: of which kinds a listener at this address is, if its owner is right. Bits: 1 << kind. */
struct steer_named {
	__u32 kinds;
	__u32 if_dual; /* further kinds, if it takes IPv4 connections although its address is of IPv6 */
};

/*
 * Whose listeners are the ACME client's, or the web server's. Users are those of the initial user namespace. Written by
 * the main thread, but for `first`.
 */
#define STEER_OWNERS   4
#define STEER_NO_OWNER 0xffffffffU /* no user has this number */

struct steer_owners {
	__u32 anyone;
	__u32 count;
	__u32 uids[STEER_OWNERS];
	__u32 learns; /* the owner of the first listener is right, too */
	__u32 first;  /* that owner; set once from STEER_NO_OWNER, by compare-and-swap: sock_ops and the main thread */
};

/* The other end of a connection of ours, in this network namespace. */
enum steer_peer {
	STEER_PEER_NONE,     /* it is not here, or has gone */
	STEER_PEER_ACCEPTED, /* a listener's: a request, or a connection */
	STEER_PEER_CROSSED,  /* a socket that was connecting to ours: a simultaneous open */
};

/*
 * The packet of a test run of `alpnbpf_owner`: a question of user space's, and the answer. Which listener does a
 * connection to `to` reach? And if from.port is not 0: what is the other end of the connection between the two?
 */
struct steer_owner_question {
	__u8 ethernet[16]; /* a test run takes the first bytes for a header */
	struct steer_connection ends;
	/* The answer. */
	__u64 number; /* of the listener: no other one has it, as long as the programs are loaded */
	__u32 uid;    /* its owner */
	__u32 found;  /* there is one */
	__u32 peer;   /* enum steer_peer */
	__u32 peer_uid;
};

/* A listener that existed before sock_ops was attached. */
struct steer_wanted {
	struct steer_endpoint at;
	__u32 pad;
	__u64 cookie; /* 0: unknown */
};

/* The request to the programs of bpf/listeners.bpf.c: find the listeners in `wanted`. Written by user space. */
struct steer_search {
	__u32 kind; /* enum steer_kind */
	__u32 count;
	struct steer_wanted wanted[STEER_LISTENERS];
	__u16 port; /* of all of them */
	/* For alpnbpf_keep_at only: */
	__u16 source_port; /* selects one of the listeners that share an address */
	__u32 index;       /* of the one in `wanted` to find */
	struct steer_endpoint reach;
	__u32 pad;
};

/* The result, by the index in `wanted`. Cleared by user space, then written by the programs. */
struct steer_kept {
	__u64 cookie;
	__u32 is_kept;
	__u32 pad;
};

struct steer_found {
	struct steer_kept kept[STEER_LISTENERS];
};

/* The state of an entry of `alpnbpf_taken`. */
enum steer_taken {
	STEER_TAKEN = 1, /* neither end gets the other's packets */
	STEER_LEFT = 2,  /* given back to the web server: its packets pass, and its hello is not read again */
};

/* Why a connection that should have been taken over was left to the web server. */
enum steer_untakable {
	STEER_UNTAKABLE_ANSWERED,    /* the server had already sent bytes, or its FIN */
	STEER_UNTAKABLE_MPTCP,       /* a subflow of MPTCP, which a TCP socket cannot continue */
	STEER_UNTAKABLE_MEMORY,      /* no memory to store an incomplete hello */
	STEER_UNTAKABLE_DISPLACED,   /* newer incomplete hellos needed its place; it may have been for the web server */
	STEER_UNTAKABLE_OUT_OF_STEP, /* the server's TCP has taken other bytes than those that were read; likewise */
	STEER_UNTAKABLES
};

/* Why a segment was dropped and comes again. */
enum steer_late {
	STEER_LATE_RING,  /* `alpnbpf_takeovr` is full */
	STEER_LATE_TABLE, /* `alpnbpf_taken` is full */
	STEER_LATES
};

/* Connections that are being taken over, or were given back. */
#define STEER_TAKEN_MOST 4096
/* Incomplete hellos that are stored at once, STEER_KEPT_MAX bytes each and what the parser needs. */
#define STEER_PARTIAL_MOST 1024
/* The same, of those that have named acme-tls/1 and whose connection is held (bpf/half.bpf.h). */
#define STEER_HALVES_MOST 512

/*
 * Armed means that some slot of `alpnbpf_acme`, the map of the ACME client's listeners, is filled. Closing a listener
 * empties its slot, so nothing is counted down. `arrivals` and `found` grow after a slot was filled. A program that
 * finds all slots empty stores in `cleared` the sum of the two that it read before it looked: while they are equal, no
 * program has to look at the slots.
 *
 * A listener that does not fit into a slot (MPTCP, or all slots are filled) is counted in `untracked_listeners`. The
 * kernel does not report when it goes, so user space looks for listeners. When it finds none, it stores in
 * `untracked_gone` the count that it read before. While the two differ, alpnbpf is armed as well. User space stores a
 * smaller count if it finds such a listener itself.
 *
 * Programs run on several CPUs at once, and so count with atomic additions.
 */
struct steer_state {
	/* sock_ops */
	__u64 arrivals;
	__u64 untracked_listeners;
	/* sk_lookup and the watch, in is_armed() */
	__u64 cleared;
	/* sk_lookup */
	__u64 steered; /* connections assigned to the private listeners */
	/* the watch, including its part in sock_ops */
	__u64 untakable[STEER_UNTAKABLES]; /* hellos that should have been taken over, or may have been, but were not */
	__u64 late[STEER_LATES];           /* segments dropped for lack of room; the client retransmits them */
	__u64 held;                        /* acknowledgements held back: see bpf/hold.bpf.h */
	__u64 released;                    /* given to the server without a hello: too late, or no timer */
	__u32 partial_hellos;              /* incomplete hellos stored so far */
	__u32 halves;                      /* those of held connections stored so far */
	__u32 pad3;
	__u32 speaks_first; /* the web server sends before its clients do: nothing is held */
	/* Programs read both at once: see steer_takeovers_pending(). */
	union {
		struct {
			/* the watch */
			__u32 takeovers_begun; /* entries added to `alpnbpf_taken` so far */
			/* user space, the worker that takes over; the watch, of entries that are STEER_LEFT */
			__u32 takeovers_ended; /* entries removed */
		};
		__u64 takeovers;
	};
	/* sock_ops */
	__u64 strangers;                  /* listeners that were refused for their owner */
	__u32 stranger_told[STEER_KINDS]; /* when the ring last got one; 2^30 ns */
	/* user space, the main thread */
	struct steer_owners owners[STEER_KINDS];
	__u32 https_families; /* in which --https has an address. Bits: 1 << enum steer_family */
	__u32 pad4;
	__u64 found; /* times it filled slots with existing listeners */
	__u64 untracked_gone;
	__u32 watching;   /* hellos are read in passing; cleared when that ends */
	__u32 always;     /* always armed: as configured, or because listeners cannot be seen */
	__u16 acme_port;  /* at which each address is the ACME client's. 0: --acme names addresses, as alpnbpf_named has
			   */
	__u16 https_port; /* of the web server */
	__u16 https_port_before; /* before a reload, for connections that still exist. 0: none */
	__u16 pad;
	__u32 asked_index; /* for alpnbpf_pending: the private listener to count */
	__u32 pad2;
};

/*
 * The number of connections that are being taken over; the server must not get their packets. Reads `takeovers_ended`
 * first, so that a result of 0 is right for that moment. Programs have no cheap barrier between two loads: they read
 * both counts in one, and learn only whether the number is 0.
 */
static inline __u32 steer_takeovers_pending(const struct steer_state *state)
{
#ifdef __bpf__
	__u64 both = *(const volatile __u64 *)&state->takeovers;

	return (__u32)both - (__u32)(both >> 32);
#else
	__u32 ended = __atomic_load_n(&state->takeovers_ended, __ATOMIC_SEQ_CST);

	return __atomic_load_n(&state->takeovers_begun, __ATOMIC_SEQ_CST) - ended;
#endif
}

/*
 * What TCP agreed on with a client, and the sequence numbers: from the web server's socket, or from the request if
 * there is no socket yet (the watch held its acknowledgement, or TCP_DEFER_ACCEPT).
 */
struct steer_agreed {
	__u32 expected;       /* sequence number of the next byte that the server's TCP expects */
	__u32 next;           /* sequence number of the next byte that it will send */
	__u32 receive_window; /* that the server offered, in bytes */
	__u32 receive_from;   /* where that window begins */
	__u32 timestamp_offset;
	__u32 timestamp_recent; /* the client's latest, for PAWS (RFC 7323 section 5) */
	__u32 mss;
	__u32 mark;   /* SO_MARK of the server's socket, or of the one that the request would become */
	__u32 device; /* interface index that it is bound to. 0: none */
	__u8 timestamps, sack, window_scaling, send_scale, receive_scale;
	__u8 deferred; /* a request without a socket */
	__u8 mptcp;    /* a subflow of MPTCP */
	__u8 pad;
};

/*
 * A record of the ring `alpnbpf_takeovr`: a connection of the web server's to be taken over, because its ClientHello
 * asks for another route, or is too long to be read in passing. From then on, the programs drop the client's packets to
 * the server (except a reset), and the server's to the client, until user space has taken over the connection and
 * removes the entry of `alpnbpf_taken`. In the ring it ends after `length` bytes.
 */
#define STEER_KEPT_AT   3584 /* of a hello in pieces, a piece is kept only if it begins before this byte */
#define STEER_PIECE_MAX 4096 /* and is at most this long; a power of two */
#define STEER_KEPT_MAX  (STEER_KEPT_AT + STEER_PIECE_MAX)
#define STEER_BYTES_MAX (STEER_KEPT_MAX + STEER_PIECE_MAX)

struct steer_takeover {
	struct steer_connection ends; /* from the client, to the web server's address */
	__u32 ifindex;                /* of the interface it arrived on; the scope of a link-local client */
	__u32 first;                  /* sequence number of bytes[0] */
	__u32 passed;                 /* sequence number of the first byte not let through to the server, in order */
	__u32 acknowledged;           /* sequence number of the next byte we send */
	__u32 window;                 /* the client's, in bytes */
	struct steer_agreed agreed;
	__u32 taken;       /* enum steer_taken; for the entry of `alpnbpf_taken` */
	__u16 length;      /* of `bytes`; the client retransmits what comes after them */
	__u16 kept_length; /* how many of these the server's TCP has acknowledged */
	__u8 bytes[STEER_BYTES_MAX];
};

/* A value of `alpnbpf_taken`: the record without the client's bytes, so that whoever has a key can look up the rest. */
#define STEER_TAKEN_SIZE __builtin_offsetof(struct steer_takeover, bytes)

/*
 * A record of the ring `alpnbpf_idle`: a connection that has been held for STEER_HELD_MS, and whose hello has not come.
 * User space sends its acknowledgement again, as if from the client (steering/held.h).
 */
struct steer_idle {
	struct steer_connection ends;
	__u32 ifindex; /* of the interface on which the client's came */
	__u32 seq, acknowledged;
	__u16 window; /* as in the segment */
	__u16 pad;
};

#define STEER_HELD_MS   100
#define STEER_HELD_MOST 4096  /* connections held at once */
#define STEER_DUE_MOST  16384 /* held within STEER_HELD_MS, whether or not their hello has come since */

/*
 * A record of the ring `alpnbpf_arrival`: the ACME client began to listen, or the web server did, untracked, or another
 * user did in the place of one of the two.
 */
struct steer_arrival {
	struct steer_endpoint at;
	__u32 tracked;
	__u32 kind; /* enum steer_kind */
	__u32 uid;
	__u32 is_stranger;
};

#endif
