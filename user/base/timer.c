// SPDX-License-Identifier: BSD-2-Clause
/* The heap of a worker's deadlines. Owns the array of pointers, not the timers. Only the worker's thread touches it. */
#include "base/timer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

int timers_init(struct timers *timers, size_t capacity)
{
	timers->at = calloc(capacity + 1, sizeof(struct timer *));
	timers->count = 0;
	timers->capacity = capacity;
	return timers->at ? 0 : -ENOMEM;
}

void timers_free(struct timers *timers)
{
	free(timers->at);
	timers->at = NULL;
	timers->count = timers->capacity = 0;
}

static void heap_put(struct timers *timers, size_t index, struct timer *timer)
{
	timers->at[index] = timer;
	timer->heap_index = index;
}

/* Moves the timer from the hole at `index` up or down to where it belongs. */
static void heap_settle(struct timers *timers, size_t index, struct timer *timer)
{
	while (index > 1 && timer->due < timers->at[index / 2]->due) {
		heap_put(timers, index, timers->at[index / 2]);
		index /= 2;
	}
	for (;;) {
		size_t child = 2 * index;

		if (child < timers->count && timers->at[child + 1]->due < timers->at[child]->due)
			child++;
		if (child > timers->count || timer->due <= timers->at[child]->due)
			break;
		heap_put(timers, index, timers->at[child]);
		index = child;
	}
	heap_put(timers, index, timer);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t due)
{
	timer->due = due;
	if (!timer->heap_index) {
		assert(timers->count < timers->capacity);
		timer->heap_index = ++timers->count;
	}
	heap_settle(timers, timer->heap_index, timer);
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
	size_t index = timer->heap_index;
	struct timer *last;

	if (!index)
		return;
	timer->heap_index = 0;
	last = timers->at[timers->count--];
	if (last != timer)
		heap_settle(timers, index, last);
}

struct timer *timers_expired(struct timers *timers, uint64_t now)
{
	struct timer *first;

	if (!timers->count || timers->at[1]->due > now)
		return NULL;
	first = timers->at[1];
	timer_cancel(timers, first);
	return first;
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->at[1]->due : UINT64_MAX;
}

uint64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
