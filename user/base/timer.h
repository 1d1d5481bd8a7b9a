/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines of one worker: a binary heap of timers, which are members of their owners. Times are microseconds of
 * CLOCK_MONOTONIC. One thread owns a heap; nothing here is locked.
 */
#ifndef ALPNBPF_BASE_TIMER_H
#define ALPNBPF_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define US_PER_MS 1000ULL

struct timer {
	uint64_t due;
	size_t heap_index; /* from 1; 0: not set */
};

struct timers {
	struct timer **at; /* at[0] is unused */
	size_t count, capacity;
};

/* Makes room for `capacity` timers, so that setting one cannot fail. 0 or -ENOMEM. */
int timers_init(struct timers *timers, size_t capacity);
void timers_free(struct timers *timers);

static inline bool timer_is_set(const struct timer *timer)
{
	return timer->heap_index != 0;
}

/* Sets the timer, or moves it if it is set already. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t due);
void timer_cancel(struct timers *timers, struct timer *timer);

/* Removes and returns the earliest timer that is due at `now`; NULL if none is. */
struct timer *timers_expired(struct timers *timers, uint64_t now);

/* When the next timer is due; UINT64_MAX if none is set. */
uint64_t timers_next(const struct timers *timers);

uint64_t monotonic_us(void);

#endif
