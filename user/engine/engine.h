/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all workers share. The main thread makes it before the first of them starts, and takes it down after the last
 * has ended; who may write a field in between is said there.
 */
#ifndef ALPNBPF_ENGINE_ENGINE_H
#define ALPNBPF_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "dataplane/dataplane.h"
#include "engine/configuration.h"
#include "engine/source_table.h"
#include "engine/trace.h"
#include "steering/steer.h"

struct worker;

struct engine {
	/* Not written while workers run. */
	unsigned int worker_count, slots_per_worker; /* slots: the key range of a worker */
	unsigned int max_sessions;                   /* of all workers; may be a little less than the slots */
	unsigned int private_ports[STEER_FAMILIES];  /* of the in-place listeners; 0: none */
	struct worker *workers;                      /* [worker_count]; owned. Each says what others may look at */
	int finished;                                /* eventfd: a worker that has ended adds one */
	int reported;                                /* eventfd: one that has answered the main thread adds one */

	/* Written by the main thread. */
	unsigned int running;                          /* workers whose thread was started; read by it alone */
	_Atomic(struct configuration *) configuration; /* the newest; workers adopt it when they are woken */
	_Atomic(struct source_table *) sources;        /* NULL: no --max-per-source so far. Locked inside */

	/* Each says in its header who writes what. */
	struct dataplane dataplane;
	struct steer steer;
	struct trace trace;
};

#endif
