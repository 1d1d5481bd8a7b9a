/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the steering programs (bpf/steer.bpf.c) and user space share: who gets a new connection to a listened port, and
 * whose connections are ours. IPv4 addresses are v4-mapped everywhere here.
 */
#ifndef ALPNBPF_STEERING_H
#define ALPNBPF_STEERING_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Listeners of one kind that are tracked; further ones cannot be (steer_state.untracked_listeners). */
#define STEER_LISTENERS 16

/* An end of a connection; key of `alpnbpf_address`. */
struct steer_endpoint {
	__be32 addr[4];
	__u16 port; /* host order */
	__u16 pad;  /* 0: keys are compared as bytes */
};

/* A connection by both its ends: key of `alpnbpf_own` (ours to the web server) and of `alpnbpf_taken`. */
struct steer_connection {
	struct steer_endpoint from, to;
};

/* The client that a connection of ours is made for: value of `alpnbpf_own`. */
struct steer_client {
	__u64 cookie; /* of our socket: distinguishes connections with the same ends */
	struct steer_endpoint client;
	__u32 pad;
};

/* Value of `alpnbpf_connect`. */
struct steer_connecting {
	struct steer_endpoint client;
	struct steer_connection made; /* once the SYN is on its way; from.port is 0 before */
};

/* What happens to a new connection to a listened address. */
enum steer_rule {
	STEER_IN_PLACE = 1, /* armed: to alpnbpf's private listener; else it is the web server's own */
	STEER_BYPASS = 2,   /* armed: alpnbpf's own listener there; else straight to the web server's */
};

enum steer_family { STEER_V4 = 0, STEER_V6 = 1, STEER_FAMILIES = 2 };

/* Index of `alpnbpf_private`. */
#define STEER_PRIVATE(worker, family) (STEER_FAMILIES * (worker) + (family))

/* Whose listeners are tracked: each kind has a sockmap (bpf/listener_maps.bpf.h). */
enum steer_kind {
	STEER_ACME,
	STEER_HTTPS,
};

/* A listener that was there before sock_ops was attached. */
struct steer_wanted {
	struct steer_endpoint at;
	__u32 pad;
	__u64 cookie; /* 0: not known */
};

/* What the programs of bpf/listeners.bpf.c are asked: to keep the listeners in `wanted`. Written by user space. */
struct steer_search {
	__u32 kind; /* enum steer_kind */
	__u32 count;
	struct steer_wanted wanted[STEER_LISTENERS];
	__u16 port; /* of all of them */
	/* alpnbpf_keep_at alone: */
	__u16 source_port; /* chooses among listeners that share their address */
	__u32 index;       /* of the one in `wanted` that is looked for */
	struct steer_endpoint reach;
	__u32 pad;
};

/* What they answer, by the index in `wanted`. Cleared by user space before, written by the programs. */
struct steer_kept {
	__u64 cookie;
	__u32 is_kept;
	__u32 pad;
};

struct steer_found {
	struct steer_kept kept[STEER_LISTENERS];
};

/*
 * Armed means: some slot of the map of the ACME client's listeners is occupied. Closing a listener empties its slot, so
 * nothing has to be counted down. `arrivals` and `found` grow after a slot was filled. A program that finds all slots
 * empty stores in `cleared` the sum of the two that it had read before it looked: while they are equal, no slot has to
 * be looked at.
 *
 * A listener that no slot takes (MPTCP, or all slots are full) is counted in `untracked_listeners`. The kernel does not
 * report when it goes. User space looks, and stores in `untracked_gone` the count it had read before it found no
 * listener. Armed as well while these two differ; user space stores a smaller count when it finds such a listener
 * itself.
 *
 * Programs run on many CPUs at once: what they count, they add to atomically.
 */
struct steer_state {
	/* sock_ops */
	__u64 arrivals;
	__u64 untracked_listeners;
	/* sk_lookup */
	__u64 cleared;
	__u64 steered; /* connections given to the private listeners */
	/* the hello watch, including its part in sock_ops */
	__u64 untakable;       /* connections that should have been taken over and could not be */
	__u32 takeovers_begun; /* entries ever made in the map of connections that are being taken over … */
	/* user space, the worker that takes over */
	__u32 takeovers_ended; /* … and of them removed; steer_takeovers_pending() */
	/* user space, the main thread */
	__u64 found; /* times it has filled slots with listeners that were there before */
	__u64 untracked_gone;
	__u32 watching;              /* hellos are read as they pass; cleared when that ends */
	__u32 always;                /* armed until alpnbpf ends: as configured, or because listeners cannot be seen */
	__u16 acme_port, https_port; /* the ACME client's, the web server's */
	__u16 https_port_before;     /* the web server's before a reload; its connections live on. 0: none */
	__u16 pad;
	__u32 asked_index; /* of the private listener whose pending connections are asked for (alpnbpf_pending) */
	__u32 pad2;
};

/*
 * Connections that are being taken over: the server must not get their packets. What has ended is read first: then 0
 * means that there was none at that moment.
 */
static inline __u32 steer_takeovers_pending(const struct steer_state *state)
{
#ifdef __bpf__
	__u32 ended = *(const volatile __u32 *)&state->takeovers_ended;

	return *(const volatile __u32 *)&state->takeovers_begun - ended;
#else
	__u32 ended = __atomic_load_n(&state->takeovers_ended, __ATOMIC_SEQ_CST);

	return __atomic_load_n(&state->takeovers_begun, __ATOMIC_SEQ_CST) - ended;
#endif
}

/*
 * What TCP agreed on with a client, and where it is: of the web server's socket, or of the request where there is none
 * yet (TCP_DEFER_ACCEPT).
 */
struct steer_agreed {
	__u32 expected;       /* sequence number of the first byte that the server's TCP does not have, */
	__u32 next;           /* … of the first it will send */
	__u32 receive_window; /* the server's as the client knows it, bytes, … */
	__u32 receive_from;   /* … from this sequence number on */
	__u32 timestamp_offset;
	__u32 mss;
	__u8 timestamps, sack, window_scaling, send_scale, receive_scale;
	__u8 deferred; /* there is no socket yet */
	__u8 mptcp;    /* it is a subflow */
	__u8 pad;
};

/*
 * A connection that the web server has begun and that is not for it: its ClientHello asks for another route, or did not
 * fit what can be read in passing. A record of the ring `alpnbpf_takeovr`. From here on the program lets nothing of the
 * client through to the server (but a reset), until user space has the connection and removes the entry of
 * `alpnbpf_taken`.
 */
#define STEER_KEPT_AT   3584 /* of a hello in pieces: no piece is kept that begins later than this … */
#define STEER_PIECE_MAX 4096 /* … or is longer; a power of two */
#define STEER_KEPT_MAX  (STEER_KEPT_AT + STEER_PIECE_MAX)

struct steer_takeover {
	struct steer_connection ends; /* from the client, to the web server's address */
	__u32 ifindex;                /* of the interface it arrives at; scope of a link-local client */
	__u32 first;                  /* sequence number of the first byte in `kept`, or `piece` when nothing is kept */
	__u32 passed;                 /* … of the first that was not let through to the server */
	__u32 acknowledged;           /* what we send next */
	__u32 window;                 /* the client's, bytes */
	struct steer_agreed agreed;
	__u16 kept_length;  /* bytes that the server's TCP has acknowledged */
	__u16 piece_length; /* what follows them, or the first of it; the client sends again what is missing */
	__u8 piece[STEER_PIECE_MAX];
	__u8 kept[STEER_KEPT_MAX];
};

/* Most hellos come in one segment; their records end after this many bytes of `piece`. */
#define STEER_BRIEF_MAX  2048
#define STEER_BRIEF_SIZE (__builtin_offsetof(struct steer_takeover, piece) + STEER_BRIEF_MAX)

/* A record of the ring `alpnbpf_arrival`: the ACME client listens; or the web server does, and its listener is
 * untracked. */
struct steer_arrival {
	struct steer_endpoint at;
	__u32 tracked;
	__u32 kind; /* enum steer_kind */
};

#endif
