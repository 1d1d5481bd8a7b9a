/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user side of the sockmap: loads and attaches the verdict, owns its maps, inserts sockets, and tests at start-up
 * that bytes move. Without BPF it is only the array of flows, in private memory. The main thread opens and closes it;
 * each worker uses its own slots.
 */
#ifndef ALPNBPF_DATAPLANE_DATAPLANE_H
#define ALPNBPF_DATAPLANE_DATAPLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "base/sentence.h"

struct ring_buffer;
struct alpnbpf_sockmap;

#define RULES_TABLES 2 /* in the map of rules */

struct dataplane {
	struct alpnbpf_sockmap *skel;    /* NULL: user space moves all bytes */
	struct flow *flows;              /* by SIDE_KEY; shared with the verdict, if there is one */
	uint64_t *events_lost;           /* by worker; NULL without a verdict */
	struct clienthello_rules *rules; /* two tables, shared with the verdict, if there is one; NULL: no rules */
	unsigned int workers, slots_per_worker;
	int socks, slots; /* descriptors of maps, owned by the skeleton; NO_DESCRIPTOR without a verdict */
	int *rings;       /* by worker; descriptors of the event rings, owned; NULL without a verdict */
};

/*
 * Loads and attaches the verdict for workers * slots_per_worker sessions. with_rules: adds empty tables of rules, of
 * which the first is in use. 0, or -errno, and why says what is missing. dataplane_close() undoes it.
 */
int dataplane_open_sockmap(struct dataplane *dataplane, unsigned int workers, unsigned int slots_per_worker,
			   bool with_rules, struct sentence *why);
/* Only the array of flows, and the tables of rules. 0 or -errno. */
int dataplane_open_user(struct dataplane *dataplane, unsigned int workers, unsigned int slots_per_worker,
			bool with_rules);
void dataplane_close(struct dataplane *dataplane);
/* In a process forked from the one that opened it: from now on, rules can only be read there. 0 or -errno. */
int dataplane_read_only(const struct dataplane *dataplane);

static inline bool dataplane_has_verdict(const struct dataplane *dataplane)
{
	return dataplane->skel != NULL;
}

/* The table for the field `rules` of a flow. NULL: none. */
static inline const struct clienthello_rules *dataplane_rules(const struct dataplane *dataplane, unsigned int entry)
{
	return entry ? &dataplane->rules[entry - 1] : NULL;
}

/*
 * Opens the reader of a worker's events: `seen` is called with each struct flow_event. 0 or -errno. The caller frees it
 * before the data plane is closed.
 */
int dataplane_open_ring(const struct dataplane *dataplane, unsigned int worker,
			int (*seen)(void *context, void *event, size_t size), void *context, struct ring_buffer **ring);

/*
 * Inserts the socket `fd`. From now on its bytes go to the verdict; bytes that arrived before do so at the next recv().
 * The flow of `key` must be cleared. Fills *cookie, for dataplane_forget(). 0 or -errno; -EOPNOTSUPP if the socket is
 * not ESTABLISHED (half-closed early, or not TCP).
 */
int dataplane_insert(struct dataplane *dataplane, uint32_t key, int fd, uint64_t *cookie);

/* After close() of the socket, which removed it from `socks` (never delete a live one): removes its other entry. */
void dataplane_forget(struct dataplane *dataplane, uint64_t cookie);

/* Runs bytes that arrived before the insertion through the verdict. 0, or -errno if the connection has failed. */
int dataplane_kick(int fd);

/*
 * Loads a small instance, with rules if the options have any, and moves bytes through it over loopback. 0, or -errno
 * and why, as for opening.
 */
int dataplane_selftest(bool with_rules, struct sentence *why);

#endif
