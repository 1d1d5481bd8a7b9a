/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options as sessions use them. A reload makes a new one; sessions keep the one they began with, until the last of
 * them has ended. Made and freed by the main thread; not written once workers know it, but for what is said there.
 */
#ifndef ALPNBPF_ENGINE_CONFIGURATION_H
#define ALPNBPF_ENGINE_CONFIGURATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "options/options.h"

struct configuration {
	struct options options;
	unsigned int max_sessions;    /* of all workers */
	_Atomic unsigned long users;  /* sessions, and workers that open new ones with it; counted by workers */
	uint16_t rules;               /* for struct flow: table + 1; 0: none */
	_Atomic unsigned long hellos; /* sessions that may still look into that table; counted by workers */
	struct configuration *older;  /* not freed yet; the main thread's */
	unsigned int workers;
	unsigned int opened_count; /* listeners it brings to each worker */
	struct listener *opened;   /* [worker * opened_count + i]; each worker takes its own out. Owned, NULL: none */
};

/* A copy of the options, in use by `workers` workers. NULL: no memory. */
struct configuration *configuration_new(const struct options *options, unsigned int max_sessions, unsigned int workers);
/* With the listeners that no worker has taken over. NULL: nothing. */
void configuration_free(struct configuration *configuration);
/* Frees it and all older ones that nobody uses. Returns what is left. */
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
