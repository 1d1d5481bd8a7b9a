/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker counts and does, at one moment. Counters and sessions are the worker's own: the main thread asks, and
 * the worker fills its snapshot between two batches of events, with a look at each slot, and for a list of sessions a
 * system call for each side. Nothing is locked, and nothing is done while nobody asks.
 */
#ifndef ALPNBPF_ENGINE_SNAPSHOT_H
#define ALPNBPF_ENGINE_SNAPSHOT_H

#include <stddef.h>

#include "engine/counters.h"
#include "engine/session.h"

struct engine;
struct worker;

enum snapshot_kind { SNAPSHOT_NONE, SNAPSHOT_COUNTERS, SNAPSHOT_SESSIONS };

/* A live session. Times in us, sizes in bytes. */
struct session_snapshot {
	uint64_t number;
	enum session_state state;
	enum route route;
	struct address client, backend; /* backend.len is 0: none yet */
	uint64_t age, idle;             /* idle: as of the last look at idleness, a quarter of --idle-timeout */
	uint64_t redirected[SIDES], forwarded[SIDES], owed[SIDES]; /* of the flow from that side */
	bool in_kernel;                                            /* both its sides are in the map */
	char server_name[256];
};

struct snapshot {
	struct counters counters; /* the bytes of live sessions are in */
	struct backend_state backends[ROUTES];
	uint64_t live, live_by_route[ROUTES]; /* ROUTE_UNDECIDED: before the hello is complete */
	struct session_snapshot *sessions;    /* owned; SNAPSHOT_SESSIONS */
	size_t session_count;
	bool failed; /* no memory for the sessions, or no answer in time: what is here is not all */
};

/* The worker's side: fills worker->snapshot if it was asked. On the worker's thread, between batches. */
void snapshot_answer(struct worker *worker);

/*
 * The main thread's side. Asks all workers; engine->answered becomes readable with each answer. One that still owes the
 * answer to an earlier question is not asked again.
 */
void snapshot_ask(struct engine *engine, enum snapshot_kind kind);
/* All have answered, or have ended. */
bool snapshot_is_complete(const struct engine *engine);
/* Adds the answers up in *sum, whose sessions the caller frees; without those that are missing, `failed` is set. */
void snapshot_add_up(struct snapshot *sum, struct engine *engine, enum snapshot_kind kind);
void snapshot_free(struct snapshot *snapshot);

#endif
