/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: one client connection and the backend connection made for it. It belongs to the thread of its worker; only
 * its two struct flow are shared, with the verdict, as alpnbpf.h says.
 *
 *   HELLO       the route is not known. Allowed: reading the hello, connecting the default backend ahead.
 *   CONNECTING  the route is known, its backend is not connected. Allowed: waiting for a turn with the ACME responder,
 *               connecting, retrying, falling back.
 *   OPEN        both sides are connected. Allowed: relaying owed bytes, ending each flow.
 *   CLOSING     the session has ended. Allowed: nothing; the sweep after this batch of events closes and frees it.
 */
#ifndef ALPNBPF_ENGINE_SESSION_H
#define ALPNBPF_ENGINE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "base/address.h"
#include "base/timer.h"
#include "engine/outcome.h"
#include "engine/responder.h"
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
	uint64_t sent_apart; /* sequence space that TCP has taken for other than flow bytes: SYN, PROXY header */
	uint64_t delivered;  /* of the flow to this side: bytes of `redirected` known to be in its TCP */
	uint16_t generation; /* marks late events of a previous socket */
	bool is_tcp;
	bool connected;
	bool polled;     /* in the worker's epoll set */
	bool polls_out;  /* with EPOLLOUT in the mask */
	bool in_map;     /* arriving bytes go to the verdict; else EPOLLIN reports them */
	bool readable;   /* not in_map: there may be bytes, or the end, to read */
	bool fin_seen;   /* after EPOLLRDHUP; the barrier of docs/KERNEL.md 3 is still due */
	bool read_ended; /* all its bytes and its FIN were forwarded */
	bool blocked;    /* its send buffer is full, until EPOLLOUT */
	bool broken;     /* its connection is gone; earlier bytes still go to the other side */
	bool poll_error; /* after EPOLLERR, until the error is read */
	bool urgent;     /* after EPOLLPRI: a read may stop at TCP's urgent mark with more bytes after it */
	bool bulk;       /* the last read filled a short buffer */
	uint8_t *unsent; /* read from this side, without room at the other; owned, NULL: nothing */
	uint32_t unsent_at, unsent_end;
};

/* The client's first bytes, until the route is known. first_bytes.c */
struct first_bytes {
	uint32_t fed;       /* bytes fed to the native parser, if the client is not in the map */
	bool counted;       /* in hellos[] of struct worker_shared; lifecycle.c */
	bool is_validation; /* the hello offers acme-tls/1, also if it falls back to https */
	char *server_name;  /* from the hello; owned, NULL: none, or unknown */
};

/* The backend connection. backend.c and connect.c */
struct connecting {
	enum route aim;            /* the route whose backend it is */
	uint64_t deadline;         /* us */
	unsigned int address;      /* index of the address being tried */
	unsigned int left;         /* addresses left in this round, including that one */
	bool header_sent;          /* the PROXY header, if there is one */
	int own_error;             /* in place: why the client's destination could not be connected to */
	uint64_t asked_at;         /* us; in place: since when the main thread has not said who listens; 0: it has */
	struct address elsewhere;  /* where the server listens besides, tried last; else len is 0. connect.c */
	uint64_t listener;         /* the one that the connection should reach; 0: unknown. backend_owner.c */
	unsigned int again;        /* attempts at the same address, because its listener was replaced */
	struct own_connection own; /* steering's entry for the connection to the web server */
};

/* Redirected bytes of a flow that may not have arrived yet. in_flight.c */
struct in_flight {
	uint64_t since; /* us; 0: there are none */
	uint64_t taken; /* bytes that the other side's TCP had taken then */
};

/* While a side is broken. relay.c */
struct lingering {
	uint64_t since; /* us; 0: no side is broken */
	uint64_t left;  /* bytes that the other side had not acknowledged then */
};

/* As of the last check. deadlines.c */
struct idleness {
	uint64_t activity; /* a number that changes whenever a byte moves */
	uint64_t since;    /* us; when it last changed */
};

/* A conversation that may be worth promoting. promote.c */
struct conversation {
	unsigned int turns;
	uint64_t since; /* the worker's turns when the first of these was counted */
	enum side last_from;
	bool promoted; /* or the attempt failed */
};

/* Of a validation. turn.c */
struct turn {
	bool joined;              /* the queue; until it leaves */
	bool begun;               /* its backend is being connected, or was */
	bool half_closed;         /* the client ended its side with its hello; lifecycle.c */
	uint64_t answered_at;     /* us; the responder's first byte. 0: none yet */
	uint64_t said, said_at;   /* bytes from the client, and when the last came; since the answer */
	uint64_t said_at_answer;  /* bytes from the client when the answer came */
	uint64_t longest_silence; /* us; of the client, after the answer */
};

struct session {
	struct worker *worker;
	struct configuration *configuration; /* the options it began with */
	enum session_state state;
	uint32_t slot;      /* unique in the program; the key of its flows */
	struct flow *flows; /* [SIDES], by the side the bytes come from */
	struct socket_side sides[SIDES];
	enum route route; /* ROUTE_UNDECIDED in HELLO */
	bool runnable;    /* in the worker's list of runnable sessions */
	struct session *next_runnable;
	struct session *next_closing;      /* in the worker's list of sessions to sweep */
	struct timer deadline;             /* for the hello, a validation, or the next idleness check: deadlines.h */
	struct timer retry;                /* for a connect attempt, the next round, or the next look at a flow */
	uint64_t retry_delay;              /* us; grows while looks find nothing */
	struct in_flight in_flight[SIDES]; /* by flow, as flows */
	struct lingering lingering;
	struct idleness idle;
	struct conversation conversation;
	struct connecting connecting;
	struct first_bytes first_bytes;
	struct seat seat; /* of a validation; written under the lock of responder.c */
	struct turn turn;
	struct trace_record *trace; /* until the outcome is known; owned, NULL: nothing follows the trace */

	/* The client. */
	uint64_t number;  /* for the log */
	uint64_t started; /* us */
	struct address client;
	struct address destination; /* in place: the address the client connected to, and we do too; else len is 0 */
	bool in_sources;            /* counted for --max-per-source */
	bool taken_over;            /* from the web server; counted in takers.c */

	/* How it ended; valid when CLOSING. */
	enum session_cause cause;
	bool reset_sides;   /* with resets instead of FINs */
	bool backend_first; /* the backend's FIN came before the client's */
};

/* The options the session began with. */
const struct options *session_options(const struct session *session);
/* The backend it connects to. */
const struct endpoint *session_backend(const struct session *session);

/*
 * In place, the backend is the address that the client connected to, so that the web server serves the same site. Then
 * the addresses to try are that one and, if there is one, another by which the same server is reached.
 */
bool session_follows_client(const struct session *session);

/* Ends the session; the sweep does the rest. hard: resets both sides. */
void session_end(struct session *session, enum session_cause cause, bool hard);
/* Ends the session because the side was reset, or its socket failed. */
void session_reset(struct session *session, enum side side);
/* Runs the session again later, less and less often: no event tells when the kernel's backlog worker has finished. */
void session_look_again(struct session *session);

#endif
