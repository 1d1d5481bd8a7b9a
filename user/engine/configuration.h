/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options as sessions use them. A reload creates a new configuration (handover.h); each session keeps the one it
 * began with, which is freed after its last session. The main thread makes the first one, the first worker the others,
 * and frees them. Once all workers have it, only the fields marked as such are written.
 */
#ifndef ALPNBPF_ENGINE_CONFIGURATION_H
#define ALPNBPF_ENGINE_CONFIGURATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "options/options.h"
#include "steering/owners.h"

struct configuration {
	struct options options;
	uint32_t number;              /* handover.h */
	unsigned int max_sessions;    /* of all workers */
	_Atomic unsigned long users;  /* sessions, and workers that open sessions with it; written by workers */
	uint16_t rules;               /* for struct flow: the index of the table + 1; 0: no rules */
	bool buffers_can_grow;        /* after a reload: to the size that --buffer asks for */
	struct configuration *older;  /* not freed yet; for the first worker only */
	struct backend_owners owners; /* of.first is set once, by compare-and-swap: by workers */
	unsigned int workers;
	unsigned int opened_count; /* new listeners per worker */
	struct listener *opened;   /* [worker * opened_count + i]; each worker takes its own. Owned; NULL: none */
};

/* Copies the options, for `workers` workers. NULL without memory. */
struct configuration *configuration_new(const struct options *options, unsigned int max_sessions, unsigned int workers);
/* Also closes the listeners that no worker has taken. Accepts NULL. */
void configuration_free(struct configuration *configuration);
/* Frees those of a list that are not in use. Returns the rest. */
struct configuration *configuration_prune(struct configuration *newest);

static inline void configuration_enter(struct configuration *configuration)
{
	atomic_fetch_add_explicit(&configuration->users, 1, memory_order_relaxed);
}

static inline void configuration_leave(struct configuration *configuration)
{
	atomic_fetch_sub_explicit(&configuration->users, 1, memory_order_release);
}

#endif
