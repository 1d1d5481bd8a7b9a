/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state that all workers share. The main thread creates it before the first worker starts, and tears it down after
 * the last has ended. Each group of fields says who may write it in between.
 */
#ifndef ALPNBPF_ENGINE_ENGINE_H
#define ALPNBPF_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/sentence.h"
#include "dataplane/dataplane.h"
#include "engine/client_sockets.h"
#include "engine/configuration.h"
#include "engine/handover.h"
#include "engine/process.h"
#include "engine/responder.h"
#include "engine/source_table.h"
#include "engine/trace.h"
#include "steering/steer.h"
#include "system/local_addresses.h"

struct engine_shared;
struct sandbox;
struct worker;

/* The main thread's command to a worker: serve; end with the last session; end now. */
enum worker_command { WORKER_RUN, WORKER_DRAIN, WORKER_STOP };

struct engine {
	/* Not written while workers run. */
	unsigned int worker_count, slots_per_worker; /* slots: the range of keys of a worker */
	unsigned int max_sessions;                   /* of all workers; may be slightly less than the slots */
	unsigned int private_ports[STEER_FAMILIES];  /* of the in-place listeners; 0: none */
	struct worker *workers;       /* [worker_count]; owned. worker.h says what other threads may read */
	struct engine_shared *shared; /* with the main thread; shared.h says who writes what. Owned */
	unsigned int made;            /* workers for which worker_free() is due */
	int finished;                 /* eventfd: a worker adds one when it ends */
	int answered;                 /* eventfd: a worker adds one when it has answered the main thread */

	/* Written by the main thread. */
	unsigned int running; /* workers that were started; their process has its own count */
	struct workers_process process;
	struct local_watch local;     /* keeps shared->addresses, if connections are served in place */
	unsigned int session_limit;   /* of all workers, of the options in force */
	uint16_t rules;               /* as in struct configuration, of the options in force */
	struct backend_owners owners; /* the same; shared->first_owners has who was first */

	/* Written by the first worker; before it runs, by the main thread. */
	_Atomic(struct configuration *) configuration; /* the newest; workers adopt it when woken */
	_Atomic(struct source_table *) sources;        /* NULL: no --max-per-source so far. Has its own lock */
	struct source_table
		*takers; /* takers.c; NULL: nothing is taken over. Not written while workers run; has its own lock */

	/* The header of each says who writes what. */
	struct handover handover;
	struct client_sockets client_sockets; /* open with --client-address transparent */
	struct dataplane dataplane;
	struct steer steer;
	struct trace trace;
	struct responder *responder; /* the queue for the ACME responder; owned */
};

/* Creates only the descriptors. 0 or -errno; engine_close() is due in either case. */
int engine_open(struct engine *engine);
/* Sets the number of sessions and workers. Before the data plane and steering are opened. */
void engine_divide(struct engine *engine, unsigned int sessions, unsigned int workers);
/* Creates the configuration, the source table and the workers, without listeners. 0, or -errno and why. */
int engine_set_up(struct engine *engine, const struct options *options, struct sentence *why);
/*
 * Starts the workers in a process of their own (process.h). 0, or -errno and why; in either case engine_tell() and
 * workers_process_join() end it.
 */
int engine_start(struct engine *engine, const struct sandbox *sandbox, struct sentence *why);
/*
 * Does what workers have asked of the main thread, which `answered` shows: steers new connections because takeovers
 * fail, lists listeners, logs backends that cannot be connected to. Also keeps the list of this machine's addresses,
 * when engine_fd() is readable, and at engine_next(). Main thread.
 */
void engine_answer(struct engine *engine, const struct options *options);
int engine_fd(const struct engine *engine);        /* or NO_DESCRIPTOR */
uint64_t engine_next(const struct engine *engine); /* us; UINT64_MAX: on events only */
/* Sends a command to all running workers; one that has ended ignores it. */
void engine_tell(struct engine *engine, enum worker_command command);
/* Closes everything, steering and the data plane included, also after an error. No worker may run. */
void engine_close(struct engine *engine);

#endif
