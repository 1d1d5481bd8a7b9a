/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker tells of itself. Its counters and sessions are its own: the main thread asks, and the worker fills its
 * report between two batches of events: a look at each slot, and for a list of sessions a call of the kernel for each
 * side. Nothing is locked, and nothing is done while nobody asks.
 */
#ifndef ALPNBPF_ENGINE_REPORT_H
#define ALPNBPF_ENGINE_REPORT_H

#include <stddef.h>

#include "engine/counters.h"
#include "engine/session.h"

struct engine;
struct worker;

enum report_kind { REPORT_NONE, REPORT_COUNTERS, REPORT_SESSIONS };

/* A live session. Times in us, sizes in bytes. */
struct session_report {
	uint64_t number;
	enum session_state state;
	enum route route;
	struct address client, backend; /* backend.len is 0: none yet */
	uint64_t age, idle;             /* idle: as of the last look at idleness, a quarter of --idle-timeout */
	uint64_t redirected[SIDES], forwarded[SIDES], owed[SIDES]; /* of the flow from that side */
	bool in_kernel;                                            /* both its sides are in the map */
	char server_name[256];
};

struct report {
	struct counters counters; /* the bytes of live sessions are in */
	struct backend_state backends[ROUTES];
	uint64_t live, live_by_route[ROUTES]; /* ROUTE_UNDECIDED: before the hello is complete */
	struct session_report *sessions;      /* owned; REPORT_SESSIONS */
	size_t session_count;
	bool failed; /* no memory for the sessions, or no answer in time: what is here is not all */
};

/* The worker's side: fills worker->report if it was asked. On the worker's thread, between batches. */
void report_answer(struct worker *worker);

/*
 * The main thread's side. Asks all workers; engine->reported becomes readable with each answer. One that still owes the
 * answer to an earlier question is not asked again.
 */
void report_ask(struct engine *engine, enum report_kind kind);
/* All have answered, or have ended. */
bool report_is_complete(const struct engine *engine);
/* Adds the answers up in *sum, whose sessions the caller frees; without those that are missing, `failed` is set. */
void report_add_up(struct report *sum, struct engine *engine, enum report_kind kind);
void report_free(struct report *report);

#endif
