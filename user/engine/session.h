/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: one client connection and the backend connection made for it. All of a session belongs to the thread of
 * its worker; only its two struct flow are shared, with the verdict, as alpnbpf.h says.
 *
 *   HELLO       the route is not known. Allowed: reading the hello, making the default backend connection ahead.
 *   CONNECTING  the route is chosen, its backend is not connected. Allowed: connecting, trying again, falling back.
 *   OPEN        both sides are connected. Allowed: relaying what is owed, ending each flow.
 *   CLOSING     the outcome is known. Allowed: nothing; the sweep after this batch of events closes and frees it.
 */
#ifndef ALPNBPF_ENGINE_SESSION_H
#define ALPNBPF_ENGINE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "base/address.h"
#include "engine/outcome.h"
#include "steering/steer.h"
#include "base/timer.h"

struct configuration;
struct worker;
struct trace_record;

enum session_state { SESSION_FREE, SESSION_HELLO, SESSION_CONNECTING, SESSION_OPEN, SESSION_CLOSING };

/* One of the two sockets. */
struct end {
	int fd;              /* -1: none */
	uint64_t cookie;     /* valid when in_map */
	uint64_t sent_apart; /* sequence space its TCP has taken that is no byte of a flow: SYN, PROXY header */
	uint64_t drained;    /* of the flow towards it: `redirected` up to here is known to be in its TCP */
	uint16_t generation; /* tells events of a socket that was replaced */
	bool is_tcp;
	bool connected;
	bool in_map;      /* the verdict sees what arrives; else EPOLLIN tells it */
	bool readable;    /* not in_map: there may be bytes or an end to read */
	bool fin_seen;    /* EPOLLRDHUP; the barrier of docs/KERNEL.md 3 is still to come */
	bool read_ended;  /* all its bytes were forwarded, and its FIN passed on */
	bool blocked;     /* its send buffer is full; EPOLLOUT ends this */
	bool watches_out; /* EPOLLOUT is in its epoll mask */
	bool broken;      /* its connection is gone; what it had said still goes to the other side */
	bool poll_error;  /* EPOLLERR, not looked at yet */
	bool urgent;      /* EPOLLPRI: a read may end at TCP's urgent mark, with more behind it */
	bool bulk;        /* the last read found more than a short one takes */
	uint8_t *held;    /* read from here, and the other side had no room for it; owned, NULL: nothing */
	uint32_t held_at, held_end;
};

struct session {
	struct worker *worker;
	struct configuration *configuration; /* what it began with */
	enum session_state state;
	uint32_t slot;   /* in the whole program: the key of its flows */
	uint64_t number; /* for the log */
	enum route route;
	enum session_cause cause;
	bool reset_ends;    /* CLOSING: with a reset, not a FIN */
	bool in_sources;    /* counted for --max-per-source */
	bool runnable;      /* in the worker's list */
	bool backend_first; /* its FIN came before the client's */
	bool in_hello;      /* counted in configuration->hellos */
	bool header_sent;   /* the PROXY header, where one is due */
	bool is_validation; /* the hello offers acme-tls/1, whoever gets it */
	struct flow *flows; /* [SIDES], by the side they come from */
	struct end ends[SIDES];
	struct address client;
	struct address destination; /* in place: where the client connected to, and so do we; else len is 0 */
	struct steer_entry ours;    /* the connection to the web server, as steering knows it */
	char *server_name;          /* as the hello says; owned, NULL: none, or not known */
	uint64_t started;           /* us */
	uint32_t hello_fed;         /* bytes the native parser has seen, when the client is not in the map */

	struct trace_record *trace; /* of its hello, until that is settled; owned, NULL: nobody watches */

	struct timer deadline;     /* hello, ACME life, or the next look at idleness */
	struct timer retry;        /* the end of a connect attempt, the next one, or the next look at a busy flow */
	uint64_t retry_delay;      /* us, grows while looks are in vain */
	enum route aim;            /* whose backend is being connected, or is */
	uint64_t connect_deadline; /* us */
	unsigned int address;      /* index of the backend address being tried */
	unsigned int addresses_left;
	uint64_t undrained_since[SIDES], undrained_at[SIDES]; /* by flow: us and bytes, while waiting for drained */
	uint64_t lingers_since, lingers_with;                 /* us and bytes, while a side is broken */
	uint64_t activity, last_active;                       /* counters at the last look, and when they had changed */
	unsigned int turns;                                   /* see promote.h */
	uint64_t turns_since;                                 /* the worker's, when this one's first was counted */
	enum side last_from;
	bool promoted; /* or tried */

	struct session *next_runnable, *next_closing; /* in the worker's lists */
};

/* Ends it; the sweep does the rest. hard: with a reset at both ends. */
void session_end(struct session *session, enum session_cause cause, bool hard);
/* The side was reset, or its socket failed. */
void session_reset(struct session *session, enum side side);
/* Nothing will tell when the kernel's backlog worker is done: look again, less and less often. */
void session_look_again(struct session *session);

#endif
