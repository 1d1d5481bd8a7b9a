/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sessions of a worker: as many slots as it may ever need, allocated once. A slot is the key of a session's flows,
 * so that the verdict and late events find it. All of it is the worker's; slots_live() is for any thread.
 */
#ifndef ALPNBPF_ENGINE_SLOTS_H
#define ALPNBPF_ENGINE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

struct session;

struct slots {
	struct session *sessions; /* [count]; owned */
	unsigned int count;
	unsigned int limit;     /* of the sessions in use; a reload may change it, up to what it was at first */
	unsigned int live;      /* in use */
	unsigned int ever_used; /* one more than the highest slot ever used */
	unsigned int *free;     /* [free_count]; those that are not in use, the next one last; owned */
	unsigned int free_count;
	uint64_t taken; /* sessions so far */
};

/* `count` slots, of which `limit` may be used. 0 or -ENOMEM; slots_close() is due in either case. */
int slots_open(struct slots *slots, unsigned int count, unsigned int limit);
void slots_close(struct slots *slots);

/* May one more be taken? */
bool slots_have_room(const struct slots *slots);
/* There must be room. What was in the slot is still there. */
struct session *slots_take(struct slots *slots);
void slots_give_back(struct slots *slots, struct session *session);

/* Its index here. The session may be any address inside of one, such as a timer's. */
unsigned int slots_index(const struct slots *slots, const void *session);

/* How many are in use, as of some moment. */
unsigned int slots_live(const struct slots *slots);

#endif
