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
#include "base/timer.h"
#include "engine/outcome.h"
#include "steering/own_connections.h"

struct configuration;
struct endpoint;
struct options;
struct worker;
struct trace_record;

enum session_state { SESSION_FREE, SESSION_HELLO, SESSION_CONNECTING, SESSION_OPEN, SESSION_CLOSING };

/* One of the two sockets. side.c */
struct socket_side {
	int fd;              /* NO_DESCRIPTOR: none */
	uint64_t cookie;     /* valid when in_map */
	uint64_t sent_apart; /* sequence space its TCP has taken that is no byte of a flow: SYN, PROXY header */
	uint64_t delivered;  /* of the flow towards it: `redirected` up to here is known to be in its TCP */
	uint16_t generation; /* tells events of a socket that was replaced */
	bool is_tcp;
	bool connected;
	bool polled;     /* it is in the worker's epoll set … */
	bool polls_out;  /* … with EPOLLOUT in its mask */
	bool in_map;     /* the verdict sees what arrives; else EPOLLIN tells it */
	bool readable;   /* not in_map: there may be bytes or an end to read */
	bool fin_seen;   /* EPOLLRDHUP; the barrier of docs/KERNEL.md 3 is still to come */
	bool read_ended; /* all its bytes were forwarded, and its FIN passed on */
	bool blocked;    /* its send buffer is full; EPOLLOUT ends this */
	bool broken;     /* its connection is gone; what it had said still goes to the other side */
	bool poll_error; /* EPOLLERR, not looked at yet */
	bool urgent;     /* EPOLLPRI: a read may end at TCP's urgent mark, with more behind it */
	bool bulk;       /* the last read found more than a short one takes */
	uint8_t *unsent; /* read from here, and the other side had no room for it; owned, NULL: nothing */
	uint32_t unsent_at, unsent_end;
};

/* What the client has sent until its route is known. first_bytes.c */
struct first_bytes {
	uint32_t fed;       /* bytes the native parser has seen, when the client is not in the map */
	bool counted;       /* in configuration->hellos; lifecycle.c */
	bool is_validation; /* the hello offers acme-tls/1, whoever gets it */
	char *server_name;  /* as the hello says; owned, NULL: none, or not known */
};

/* The backend that is being connected, or is. backend.c and connect.c */
struct connecting {
	enum route aim;            /* whose it is */
	uint64_t deadline;         /* us */
	unsigned int address;      /* index of the address being tried */
	unsigned int left;         /* addresses of this round, with that one */
	bool header_sent;          /* the PROXY header, where one is due */
	struct own_connection own; /* the connection to the web server, as steering knows it */
};

/* Bytes of the flow from a side that were redirected and are not known to have arrived. in_flight.c */
struct in_flight {
	uint64_t since; /* us; 0: none are */
	uint64_t taken; /* bytes that the other side's TCP had then */
};

/* While a side is broken. relay.c */
struct lingering {
	uint64_t since; /* us; 0: it is not */
	uint64_t left;  /* bytes that the other side had not acknowledged then */
};

/* As of the last look. deadlines.c */
struct idleness {
	uint64_t activity; /* a number that changes whenever a byte moves */
	uint64_t since;    /* us: when it was first seen to be that */
};

/* A conversation that may be worth promoting. promote.c */
struct conversation {
	unsigned int turns;
	uint64_t since; /* the worker's turns, when the first of these was counted */
	enum side last_from;
	bool promoted; /* or tried */
};

struct session {
	struct worker *worker;
	struct configuration *configuration; /* what it began with */
	enum session_state state;
	uint32_t slot;                   /* in the whole program: the key of its flows */
	struct flow *flows;              /* [SIDES], by the side they come from */
	struct socket_side sides[SIDES]; /* … */
	enum route route;                /* whose session it is; ROUTE_UNDECIDED in HELLO */
	bool runnable;                   /* in the worker's list … */
	struct session *next_runnable;   /* … */
	struct session *next_closing;    /* in the worker's list, when CLOSING */
	struct timer deadline;           /* hello, ACME life, or the next look at idleness: deadlines.h */
	struct timer retry;   /* the end of a connect attempt, the next one, or the next look at a busy flow */
	uint64_t retry_delay; /* us, grows while looks are in vain */
	struct in_flight in_flight[SIDES]; /* by flow */
	struct lingering lingering;
	struct idleness idle;
	struct conversation conversation;
	struct connecting connecting;
	struct first_bytes first_bytes;
	struct trace_record *trace; /* of its hello, until that is settled; owned, NULL: nobody follows */

	/* Where it comes from. */
	uint64_t number;  /* for the log */
	uint64_t started; /* us */
	struct address client;
	struct address destination; /* in place: where the client connected to, and so do we; else len is 0 */
	bool in_sources;            /* counted for --max-per-source */

	/* How it ended; valid when CLOSING. */
	enum session_cause cause;
	bool reset_sides;   /* with a reset, not a FIN */
	bool backend_first; /* the backend's FIN came before the client's */
};

/* The options it began with. */
const struct options *session_options(const struct session *session);
/* The backend that it aims at. */
const struct endpoint *session_backend(const struct session *session);

/* Ends it; the sweep does the rest. hard: with a reset at both ends. */
void session_end(struct session *session, enum session_cause cause, bool hard);
/* The side was reset, or its socket failed. */
void session_reset(struct session *session, enum side side);
/* Nothing will tell when the kernel's backlog worker is done: look again, less and less often. */
void session_look_again(struct session *session);

#endif
