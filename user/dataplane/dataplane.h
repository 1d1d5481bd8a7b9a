/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel half as the worker sees it: loads and attaches the verdict, owns its maps, puts sockets in, and proves at
 * start-up that bytes move. Without BPF it is nothing but the array of flows, in private memory. Opened and closed by
 * the main thread; each worker uses the slots that are its own.
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

struct dataplane {
	struct alpnbpf_sockmap *skel;    /* NULL: user space moves all bytes */
	struct flow *flows;              /* by SIDE_KEY; shared with the verdict when there is one */
	uint64_t *events_lost;           /* by worker; NULL without a verdict */
	struct clienthello_rules *rules; /* two tables, shared with the verdict when there is one; NULL: no rules */
	unsigned int workers, slots_per_worker;
	int socks, slots; /* map descriptors, the skeleton's; NO_DESCRIPTOR without a verdict */
	int *rings;       /* by worker; descriptors of the event rings, owned; NULL without a verdict */
};

/*
 * Load and attach the verdict for workers * slots_per_worker sessions. with_rules: make room for tables of rules; they
 * are empty, and the first is in use. Returns 0, or -errno, and why says what is missing.
 * dataplane_close() undoes it.
 */
int dataplane_open_sockmap(struct dataplane *dataplane, unsigned int workers, unsigned int slots_per_worker,
			   bool with_rules, struct sentence *why);
/* The array of flows alone, and the tables. 0 or -errno. */
int dataplane_open_user(struct dataplane *dataplane, unsigned int workers, unsigned int slots_per_worker,
			bool with_rules);
void dataplane_close(struct dataplane *dataplane);

static inline bool dataplane_has_verdict(const struct dataplane *dataplane)
{
	return dataplane->skel != NULL;
}

/* The table of a flow's `rules`. NULL: none. */
static inline const struct clienthello_rules *dataplane_rules(const struct dataplane *dataplane, unsigned int entry)
{
	return entry ? &dataplane->rules[entry - 1] : NULL;
}

/*
 * The reader of a worker's events: `seen` gets a struct flow_event each. 0 or -errno. The caller frees it, before the
 * data plane is closed.
 */
int dataplane_open_ring(const struct dataplane *dataplane, unsigned int worker,
			int (*seen)(void *context, void *event, size_t size), void *context, struct ring_buffer **ring);

/*
 * From now on the verdict sees what arrives on the socket `fd`; what arrived before, at the next recv(). The flow of
 * `key` must have been cleared. Fills *cookie, for dataplane_forget(). 0 or -errno: -EOPNOTSUPP when the socket is not
 * ESTABLISHED (it was half-closed early, or is not TCP).
 */
int dataplane_insert(struct dataplane *dataplane, uint32_t key, int fd, uint64_t *cookie);

/* The socket of this cookie was closed: close() took it out of `socks` (never delete a live one), this forgets it. */
void dataplane_forget(struct dataplane *dataplane, uint64_t cookie);

/* Runs the bytes before insertion, if any, through the verdict. 0, or -errno: the connection has failed. */
int dataplane_kick(int fd);

/*
 * Loads a small instance, with rules if there are to be any, and moves bytes through it over loopback. 0, or -errno
 * with why, as for opening.
 */
int dataplane_selftest(bool with_rules, struct sentence *why);

#endif
