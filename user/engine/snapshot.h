/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker's counters and sessions at one moment. Only the worker may read them: the main thread asks, and the worker
 * fills its snapshot between two batches of events, looking at each slot, and for a list of sessions with a system call
 * per side. There is no lock, and no cost while no snapshot is asked for. The main thread checks what it reads.
 */
#ifndef ALPNBPF_ENGINE_SNAPSHOT_H
#define ALPNBPF_ENGINE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
	struct address client, backend; /* backend.len is 0 before one is chosen */
	uint64_t age, idle;             /* idle: as of the last check, at most a quarter of --idle-timeout ago */
	uint64_t redirected[SIDES], forwarded[SIDES], owed[SIDES]; /* of the flow from that side */
	uint8_t in_kernel;                                         /* both sides are in the map */
	char server_name[256];
};

/* What a worker answers, in memory shared with the main thread. */
struct snapshot_answer {
	struct counters counters; /* including the bytes of live sessions */
	struct backend_state backends[ROUTES];
	uint64_t live, live_by_route[ROUTES]; /* ROUTE_UNDECIDED: before the hello is complete */
	uint64_t descriptors;                 /* of its sessions */
	int kind;                             /* enum snapshot_kind: of the question that it answers */
	uint32_t session_count;               /* in worker->list; SNAPSHOT_SESSIONS */
};

/* The sum of the answers. */
struct snapshot {
	struct counters counters; /* including the bytes of live sessions */
	struct backend_state backends[ROUTES];
	uint64_t live, live_by_route[ROUTES]; /* ROUTE_UNDECIDED: before the hello is complete */
	uint64_t descriptors;                 /* that the process of the workers has open */
	struct session_snapshot *sessions;    /* owned; SNAPSHOT_SESSIONS */
	size_t session_count;
	bool failed; /* incomplete: no memory, or a worker did not answer in time */
};

/* Answers if that was asked for. On the worker's thread, between batches. */
void snapshot_answer(struct worker *worker);
/* The worker ends: its last answer, for good. On its thread. */
void snapshot_last(struct worker *worker);
/* Of worker->list. */
size_t snapshot_list_bytes(const struct worker *worker);

/* Can its parts be used as what they say they are? */
bool session_snapshot_is_sound(const struct session_snapshot *session);

/*
 * The rest is for the main thread. Asks all workers, except those that still owe an earlier answer; engine->answered
 * becomes readable with each answer.
 */
void snapshot_ask(struct engine *engine, enum snapshot_kind kind);
/* Has every worker answered, or ended? */
bool snapshot_is_complete(const struct engine *engine);
/* Adds up the answers in *sum, whose sessions the caller frees. Sets `failed` if answers are missing. */
void snapshot_add_up(struct snapshot *sum, struct engine *engine, enum snapshot_kind kind);
void snapshot_free(struct snapshot *snapshot);

#endif
