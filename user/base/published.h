/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one thread publishes and others read, also in another process, without a lock: there are two copies, and a
 * number says which one counts. The writer fills the other one, then counts on. So a writer that is stopped stops no
 * reader; a reader that is stopped finds that the number has changed, and reads again.
 */
#ifndef ALPNBPF_BASE_PUBLISHED_H
#define ALPNBPF_BASE_PUBLISHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct published {
	_Atomic uint32_t number; /* the copy that counts is the last bit; written by the writer */
};

/* The copy to fill with published_copy(). By the writer. */
static inline unsigned int published_begin(const struct published *published)
{
	unsigned int next = (atomic_load_explicit(&published->number, memory_order_relaxed) + 1) & 1;

	atomic_thread_fence(memory_order_release); /* who reads what follows sees that this copy does not count */
	return next;
}

/* It is complete: from now on it counts. By the writer. */
static inline void published_end(struct published *published)
{
	atomic_fetch_add_explicit(&published->number, 1, memory_order_release);
}

/* The number that published_was_whole() needs; its last bit is the copy to read. By a reader. */
static inline uint32_t published_read(const struct published *published)
{
	return atomic_load_explicit(&published->number, memory_order_acquire);
}

/* Was that copy left alone while it was read? If not, what was read is of no use. By a reader. */
static inline bool published_was_whole(const struct published *published, uint32_t number)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&published->number, memory_order_relaxed) == number;
}

/* Copies whole words to or from a copy. */
static inline void published_copy(void *to, const void *from, size_t bytes)
{
	const uint64_t *source = from;
	uint64_t *destination = to;

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		__atomic_store_n(&destination[i], __atomic_load_n(&source[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

#endif
