/* SPDX-License-Identifier: BSD-2-Clause */
/* What `alpnbpf attach` owns, and how it comes about. */
#ifndef ALPNBPF_ATTACH_H
#define ALPNBPF_ATTACH_H

#include "child.h"
#include "options.h"
#include "worker.h"

#define LOCKS_MAX (LISTENERS_MAX + 1)

/* What attach owns. */
struct attach {
	struct options options;
	struct router router;
	struct worker *workers;
	unsigned int running;
	char plane[768]; /* the data plane and why, for the ready line */
	int signals;
	struct child child;
	struct rlimit nofile; /* as we were given it */
	int locks[LOCKS_MAX]; /* one for each port served in place, one for transparent connections */
	unsigned int lock_count;
	bool routed;           /* policy_route_remove() is due */
	uint64_t settle_until; /* us; draining waits so long for connections that are steered to us and not yet here */
};

/*
 * Everything from the descriptor limit to workers that accept, in the order in which it can fail. 0, or -errno after an
 * error was logged. attach_tear_down() undoes what was done, however far it came.
 */
int attach_set_up(struct attach *attach);
/* Workers must have ended. */
void attach_tear_down(struct attach *attach);

#endif
