/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options as sessions use them. A reload makes a new one; sessions keep the one they began with, until the last of
 * them has ended. Read-only once workers know it, but for `users`.
 */
#ifndef ALPNBPF_ENGINE_CONFIGURATION_H
#define ALPNBPF_ENGINE_CONFIGURATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "options/options.h"

struct configuration {
	struct options options;
	unsigned int max_sessions;    /* of all workers */
	_Atomic unsigned long users;  /* sessions, and workers that open new ones with it */
	uint16_t rules;               /* for struct flow: table + 1; 0: none */
	_Atomic unsigned long hellos; /* sessions that may still look into that table */
	struct configuration *older;  /* not freed yet; main thread */
	unsigned int opened_count;    /* listeners it brings: opened[worker * opened_count + i], of options.listeners */
	struct listener *opened;      /* … [i]; taken over by its worker. Owned, NULL: none */
};

/* A copy of the options, in use by `workers` workers. NULL: no memory. */
struct configuration *configuration_new(const struct options *options, unsigned int max_sessions, unsigned int workers);
/* Frees it and all older ones that nobody uses; `keep` stays, and so do those in use. Returns what is left. */
struct configuration *configuration_prune(struct configuration *newest, const struct configuration *keep);

static inline void configuration_enter(struct configuration *configuration)
{
	atomic_fetch_add_explicit(&configuration->users, 1, memory_order_relaxed);
}

static inline void configuration_leave(struct configuration *configuration)
{
	atomic_fetch_sub_explicit(&configuration->users, 1, memory_order_release);
}

#endif
