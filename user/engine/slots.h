/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sessions of a worker: as many slots as it may ever need, allocated once. A slot is the key of a session's flows,
 * by which the verdict and late events find it. For the worker's thread only, except slots_live().
 */
#ifndef ALPNBPF_ENGINE_SLOTS_H
#define ALPNBPF_ENGINE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct session;

struct slots {
	struct session *sessions; /* [count]; owned */
	unsigned int count;
	unsigned int limit;     /* of sessions; a reload may change it, but not above its first value */
	unsigned int live;      /* slots in use */
	unsigned int ever_used; /* one more than the highest slot ever used */
	unsigned int *free;     /* [free_count]; a stack of slots not in use; owned */
	unsigned int free_count;
	uint64_t taken; /* sessions so far */
};

/* `count` slots, of which `limit` may be used. 0 or -ENOMEM; slots_close() is due in either case. */
int slots_open(struct slots *slots, unsigned int count, unsigned int limit);
void slots_close(struct slots *slots);

/* Is there a free slot within the limit? */
bool slots_have_room(const struct slots *slots);
/* Takes a free slot, if slots_have_room(). It still holds the previous session's data. */
struct session *slots_take(struct slots *slots);
void slots_give_back(struct slots *slots, struct session *session);

/* The index of a session, given its address or that of a member, such as a timer. */
unsigned int slots_index(const struct slots *slots, const void *session);

/* The number of slots in use, as a snapshot. Any thread. */
unsigned int slots_live(const struct slots *slots);

#endif
