/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deadlines of one worker: a binary heap of timers that live in their owners. Times are microseconds of
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

/* Room for `capacity` timers, so that setting one cannot fail. 0 or -ENOMEM. */
int timers_init(struct timers *timers, size_t capacity);
void timers_free(struct timers *timers);

static inline bool timer_is_set(const struct timer *timer)
{
	return timer->heap_index != 0;
}

/* Sets or moves it. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t due);
void timer_cancel(struct timers *timers, struct timer *timer);

/* Takes out and returns a timer due at `now`, the earliest first; NULL when none is. */
struct timer *timers_expired(struct timers *timers, uint64_t now);

/* When the next one is due; UINT64_MAX when none is set. */
uint64_t timers_next(const struct timers *timers);

uint64_t monotonic_us(void);

#endif
