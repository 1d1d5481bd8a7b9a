/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * By what the main thread and the workers talk to each other: memory that is mapped before the workers start, and means
 * the same in another process. Only numbers and arrays of fixed size, no pointers. Each field names its one writer.
 * Workers read bytes of the network, so the main thread believes nothing that they write here: it copies what it needs
 * once, and checks the copy before it uses it as an index, a length or a text.
 */
#ifndef ALPNBPF_ENGINE_SHARED_H
#define ALPNBPF_ENGINE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "engine/backend_owner.h"
#include "engine/handover.h"
#include "engine/port_listeners.h"
#include "engine/snapshot.h"
#include "engine/unreachable.h"
#include "system/local_addresses.h"

struct worker_shared {
	_Atomic int command;    /* enum worker_command; written by the main thread */
	_Atomic int asked;      /* enum snapshot_kind; set by the main thread, cleared by the worker with its answer */
	_Atomic uint64_t loops; /* turns so far, or WORKER_ENDED; written by the worker */
	_Atomic unsigned int live; /* sessions after the last turn; written by the worker */
	_Atomic uint32_t adopted;  /* the number of the configuration for new sessions; written by the worker */
	_Atomic unsigned int hellos[RULES_TABLES]; /* sessions that may still read a table; written by the worker */
	struct snapshot_answer answer;             /* written by the worker while asked */
	struct snapshot_answer last; /* its last one, of counters; written by the worker before WORKER_ENDED */
};

struct engine_shared {
	_Atomic bool takeovers_fail;         /* set by the worker that takes over, cleared by the main thread */
	_Atomic bool trace_wanted;           /* written by the main thread */
	_Atomic unsigned long trace_dropped; /* trace records that did not fit: workers add, the main thread resets */
	_Atomic unsigned int descriptors;    /* of the workers' process when it began to serve; written by it */
	struct handover_shared handover;
	struct unreachable unreachable[ROUTES];
	struct backend_stranger strangers[ROUTES];
	_Atomic uint32_t first_owners[ROUTES]; /* as in force: written by workers that learn it, and the main thread */
	struct port_listeners listeners;
	struct local_addresses addresses;
	struct worker_shared workers[];
};

/* A worker has written what no worker of ours writes: says so, in words such as "a record of a session". */
void shared_is_unsound(const char *what);

/* Memory that stays shared after fork(), all zero; pages that nobody uses cost nothing. NULL, with errno. */
void *shared_map(size_t bytes);
/* Gives the pages of *memory back; they are zero when they are used again. */
void shared_clear(void *memory, size_t bytes);
/* Accepts NULL. */
void shared_unmap(void *memory, size_t bytes);

#endif
