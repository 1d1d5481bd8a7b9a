/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all workers share. The main thread makes it before the first of them starts, and takes it down after the last
 * has ended; who may write a field in between is said there.
 */
#ifndef ALPNBPF_ENGINE_ENGINE_H
#define ALPNBPF_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/sentence.h"
#include "dataplane/dataplane.h"
#include "engine/configuration.h"
#include "engine/source_table.h"
#include "engine/trace.h"
#include "steering/steer.h"

struct worker;

/* What the main thread tells a worker: to serve; to end with its last session; to end now. */
enum worker_command { WORKER_RUN, WORKER_DRAIN, WORKER_STOP };

struct engine {
	/* Not written while workers run. */
	unsigned int worker_count, slots_per_worker; /* slots: the key range of a worker */
	unsigned int max_sessions;                   /* of all workers; may be a little less than the slots */
	unsigned int private_ports[STEER_FAMILIES];  /* of the in-place listeners; 0: none */
	struct worker *workers;                      /* [worker_count]; owned. Each says what others may look at */
	unsigned int made;                           /* of them: worker_free() is due */
	int finished;                                /* eventfd: a worker that has ended adds one */
	int answered;                                /* eventfd: one that has answered the main thread adds one */

	/* Written by the main thread. */
	unsigned int running;                          /* workers whose thread was started; read by it alone */
	_Atomic(struct configuration *) configuration; /* the newest; workers adopt it when they are woken */
	_Atomic(struct source_table *) sources;        /* NULL: no --max-per-source so far. Locked inside */

	/* Each says in its header who writes what. */
	struct dataplane dataplane;
	struct steer steer;
	struct trace trace;
};

/* Makes the descriptors, and nothing else yet. 0 or -errno; engine_close() is due in either case. */
int engine_open(struct engine *engine);
/* How many sessions and workers there will be: the data plane and steering are opened after this. */
void engine_divide(struct engine *engine, unsigned int sessions, unsigned int workers);
/* Makes the configuration, the table of sources and the workers; their listeners come next. 0 or -errno. */
int engine_set_up(struct engine *engine, const struct options *options, struct sentence *why);
/* Starts the workers. 0 or -errno; those that are `running` by then have to be told and joined in either case. */
int engine_start(struct engine *engine, struct sentence *why);
/* The newest configuration from now on; workers adopt it one after another. Main thread, as is the next. */
void engine_publish(struct engine *engine, struct configuration *configuration);
/* Have all that run adopted the newest? `answered` tells when to ask again. */
bool engine_has_adopted(const struct engine *engine);
/* Tells all that run; one that has ended ignores it. */
void engine_tell(struct engine *engine, enum worker_command command);
void engine_join(struct engine *engine);
/* Closes all of it, steering and the data plane included, however far it came. No worker may run. */
void engine_close(struct engine *engine);

#endif
