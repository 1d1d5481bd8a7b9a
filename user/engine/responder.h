/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue in front of the ACME responder, one for the program. A responder may serve one connection at a time
 * (`openssl s_server`), and its backlog is first come, first served: a client that stalls there delays all others. So
 * validations wait here, and connect when it is their turn.
 *
 * Who is next: sources whose last validation went well, then unknown ones, the newest first, then those that stalled;
 * prefixes with fewer connections first; within a prefix, the one that has waited longest. How many connections the
 * responder gets is learned: more once it answers one while another is open, fewer once one gets its answer only after
 * another has ended.
 *
 * Each validation has a seat, a member of its session. All fields of seats and of the queue are written under one lock,
 * which is held for a few list operations, by any worker. A seat that changes is *called*: its worker is woken, and
 * looks at it.
 */
#ifndef ALPNBPF_ENGINE_RESPONDER_H
#define ALPNBPF_ENGINE_RESPONDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

struct responder;
struct source_record;

enum seat_state {
	SEAT_NONE,     /* not of the queue */
	SEAT_WAITING,  /* must not connect yet */
	SEAT_GIVEN,    /* may connect; the responder has not answered */
	SEAT_ANSWERED, /* has got a byte of the responder */
	SEAT_LOST,     /* no room to wait: made way for others */
};

struct seat {
	enum seat_state state;
	bool called, asked; /* asked: whether its connection to the responder is still open */
	unsigned int worker;
	uint64_t since;                         /* us; in this state */
	struct source_record *prefix, *address; /* of its source; held while waiting or served */
	struct seat *next, *previous;           /* of those that wait, or those that are served */
	struct seat *next_called;               /* of the same worker */
};

/* What its worker needs to know of a seat. */
struct seat_view {
	enum seat_state state;
	bool asked;         /* responder_tell() is due */
	bool pressed;       /* others wait */
	uint64_t since;     /* us; in this state */
	uint64_t allowance; /* us; of silence after the answer while others wait, round trips apart */
};

/* How a validation left. */
enum seat_end {
	SEAT_UNDECIDED, /* not served, or its end says nothing about its source */
	SEAT_WENT_WELL, /* the client went on after its answer, or left at once */
	SEAT_STALLED,   /* the client had its answer, and kept the responder by its silence */
};

/*
 * A queue for `workers`, where `waiting` validations may wait and `served` be with the responder at a time. wake: makes
 * a worker look at its called seats; from any worker's thread. NULL without memory.
 */
struct responder *responder_new(unsigned int workers, unsigned int waiting, unsigned int served,
				void (*wake)(void *context, unsigned int worker), void *context);
void responder_free(struct responder *responder);

/* A validation of `source` joins: the seat is then given, or waits. It may cost another its place. */
void responder_enter(struct responder *responder, struct seat *seat, const struct address *source, unsigned int worker,
		     uint64_t now);
/* It has got its first byte from the responder. */
void responder_answered(struct responder *responder, struct seat *seat, uint64_t now);
/* It has ended, or left the responder. Does nothing without a seat. */
void responder_leave(struct responder *responder, struct seat *seat, enum seat_end end, uint64_t now);

struct seat_view responder_view(struct responder *responder, const struct seat *seat, uint64_t now);
/* Time has passed for a waiting seat. Returns when to look again, us. */
uint64_t responder_look(struct responder *responder, uint64_t now);
/* The answer to `asked`. */
void responder_tell(struct responder *responder, struct seat *seat, bool is_open, uint64_t now);

/* The next called seat of the worker, which is then called no more; NULL: none. */
struct seat *responder_called(struct responder *responder, unsigned int worker);

/* The responder is another from now on: what was learned about it does not count. */
void responder_forget(struct responder *responder);

/* When it answered last, us; 0: never. */
uint64_t responder_last_answer(struct responder *responder);

/* How many connections it may have at a time, and how many validations wait: for tests and status. Any thread. */
unsigned int responder_width(struct responder *responder);
unsigned int responder_waiting(struct responder *responder);

#endif
