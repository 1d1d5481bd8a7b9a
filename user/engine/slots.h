/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sessions of a worker: as many slots as it may ever need, allocated once. A slot is the key of a session's flows,
 * by which the verdict and late events find it. A session is reserved a place first, by any thread, then takes a slot.
 * For the worker's thread only, except slots_reserve(), slots_cancel(), slots_room() and slots_live().
 */
#ifndef ALPNBPF_ENGINE_SLOTS_H
#define ALPNBPF_ENGINE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct session;

struct slots {
	struct session *sessions; /* [count]; owned */
	unsigned int count;
	unsigned int
		limit;     /* of sessions; a reload may change it, but not above its first value. Any thread reads it */
	unsigned int live; /* slots in use or reserved; written by any thread */
	unsigned int ever_used; /* one more than the highest slot ever used */
	unsigned int *free;     /* [free_count]; a stack of slots not in use; owned */
	unsigned int free_count;
	uint64_t taken; /* sessions so far */
};

/* `count` slots, of which `limit` may be used. 0 or -ENOMEM; slots_close() is due in either case. */
int slots_open(struct slots *slots, unsigned int count, unsigned int limit);
void slots_close(struct slots *slots);

/* Reserves a slot within the limit, or returns false. Any thread. */
bool slots_reserve(struct slots *slots);
/* The reserved slot is not needed. Any thread. */
void slots_cancel(struct slots *slots);
/* How many can be reserved now. Any thread. */
unsigned int slots_room(const struct slots *slots);
/* Takes the reserved slot. It still holds the previous session's data. */
struct session *slots_take(struct slots *slots);
void slots_give_back(struct slots *slots, struct session *session);
void slots_set_limit(struct slots *slots, unsigned int limit);

/* The index of a session, given its address or that of a member, such as a timer. */
unsigned int slots_index(const struct slots *slots, const void *session);

/* The number of slots in use or reserved, as a snapshot. Any thread. */
unsigned int slots_live(const struct slots *slots);

#endif
