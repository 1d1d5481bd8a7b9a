// SPDX-License-Identifier: BSD-2-Clause
/* Slots for sessions: see slots.h. Owned by one worker. */
#include "engine/slots.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/session.h"

int slots_open(struct slots *slots, unsigned int count, unsigned int limit)
{
	*slots = (struct slots){.count = count, .limit = limit, .free_count = limit};
	slots->sessions = calloc(count, sizeof(struct session));
	slots->free = calloc(count, sizeof(unsigned int));
	if (!slots->sessions || !slots->free)
		return -ENOMEM;
	for (unsigned int i = 0; i < limit; i++) /* the lowest is taken first: its memory is warm */
		slots->free[i] = limit - 1 - i;
	return 0;
}

void slots_close(struct slots *slots)
{
	free(slots->sessions);
	free(slots->free);
	*slots = (struct slots){0};
}

bool slots_have_room(const struct slots *slots)
{
	return slots->free_count && slots->live < slots->limit;
}

/* An atomic store, because other threads read it. */
static void set_live(struct slots *slots, unsigned int live)
{
	__atomic_store_n(&slots->live, live, __ATOMIC_RELAXED);
}

struct session *slots_take(struct slots *slots)
{
	unsigned int index = slots->free[--slots->free_count];

	set_live(slots, slots->live + 1);
	if (index >= slots->ever_used)
		slots->ever_used = index + 1;
	slots->taken++;
	return &slots->sessions[index];
}

void slots_give_back(struct slots *slots, struct session *session)
{
	slots->free[slots->free_count++] = slots_index(slots, session);
	set_live(slots, slots->live - 1);
}

unsigned int slots_index(const struct slots *slots, const void *session)
{
	return (unsigned int)(((const char *)session - (const char *)slots->sessions) /
			      (ptrdiff_t)sizeof(struct session));
}

unsigned int slots_live(const struct slots *slots)
{
	return __atomic_load_n(&slots->live, __ATOMIC_RELAXED);
}
