// SPDX-License-Identifier: BSD-2-Clause
/* Slots for sessions: see slots.h. Owned by one worker; `live` is counted by any thread. */
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

bool slots_reserve(struct slots *slots)
{
	unsigned int live = slots_live(slots), limit = __atomic_load_n(&slots->limit, __ATOMIC_RELAXED);

	while (live < limit)
		if (__atomic_compare_exchange_n(&slots->live, &live, live + 1, true, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

void slots_cancel(struct slots *slots)
{
	__atomic_fetch_sub(&slots->live, 1, __ATOMIC_RELAXED);
}

unsigned int slots_room(const struct slots *slots)
{
	unsigned int live = slots_live(slots), limit = __atomic_load_n(&slots->limit, __ATOMIC_RELAXED);

	return live < limit ? limit - live : 0;
}

void slots_set_limit(struct slots *slots, unsigned int limit)
{
	__atomic_store_n(&slots->limit, limit, __ATOMIC_RELAXED);
}

/* No more are reserved than the first limit, so one is free. */
struct session *slots_take(struct slots *slots)
{
	unsigned int index = slots->free[--slots->free_count];

	if (index >= slots->ever_used)
		slots->ever_used = index + 1;
	slots->taken++;
	return &slots->sessions[index];
}

void slots_give_back(struct slots *slots, struct session *session)
{
	slots->free[slots->free_count++] = slots_index(slots, session);
	slots_cancel(slots);
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
