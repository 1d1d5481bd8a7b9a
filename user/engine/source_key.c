// SPDX-License-Identifier: BSD-2-Clause
/* Keys of sources: see source_key.h. */
#include "engine/source_key.h"

#include <string.h>
#include <sys/random.h>

uint64_t source_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)source_key; /* no entropy yet: use the address space layout */
	return seed;
}

/* Two rounds of a 64-bit finalizer (multiply, xor, shift), keyed by the seed. */
uint64_t source_key(uint64_t seed, const struct address *source, enum source_width width)
{
	struct address plain = address_unmapped(source);
	uint64_t hash = seed ^ (uint64_t)width, word = 0;

	if (plain.sa.sa_family == AF_INET6) {
		memcpy(&word, plain.in6.sin6_addr.s6_addr, width == SOURCE_PREFIX ? 6 : 8);
		hash ^= 6 << 8;
	} else {
		memcpy(&word, &plain.in.sin_addr, width == SOURCE_PREFIX ? 3 : 4);
	}
	for (int round = 0; round < 2; round++) {
		hash ^= word;
		hash *= 0xff51afd7ed558ccdULL;
		hash ^= hash >> 33;
		hash += seed;
	}
	return hash;
}
