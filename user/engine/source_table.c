// SPDX-License-Identifier: BSD-2-Clause
/*
 * A hash table with open addressing, sized once so that it never grows. Owns its entries; the lock is held for a few
 * probes. An entry whose count falls to zero is removed at once, so there are never more entries than sessions. Any
 * thread.
 */
#include "engine/source_table.h"

#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct source {
	uint8_t key[9]; /* family mark, then 4 bytes of IPv4 or 8 of IPv6 */
	uint32_t count; /* 0: this entry is free */
};

struct source_table {
	pthread_mutex_t lock;
	unsigned int limit;
	uint64_t seed; /* clients choose their addresses, and must not be able to choose their entries */
	size_t mask;
	struct source places[];
};

struct source_table *source_table_new(unsigned int sessions, unsigned int limit)
{
	struct source_table *table;
	size_t places = 16;

	while (places < 2 * (size_t)sessions)
		places *= 2;
	table = calloc(1, sizeof(*table) + places * sizeof(struct source));
	if (!table)
		return NULL;
	pthread_mutex_init(&table->lock, NULL);
	table->limit = limit;
	table->mask = places - 1;
	if (getrandom(&table->seed, sizeof(table->seed), GRND_NONBLOCK) != sizeof(table->seed))
		table->seed = (uint64_t)(uintptr_t)table; /* no entropy yet: use the address space layout */
	return table;
}

void source_table_free(struct source_table *table)
{
	if (!table)
		return;
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static void key_of(uint8_t key[9], const struct address *source)
{
	struct address plain = address_unmapped(source);

	memset(key, 0, 9);
	if (plain.sa.sa_family == AF_INET6) {
		key[0] = 6;
		memcpy(key + 1, plain.in6.sin6_addr.s6_addr, 8);
	} else {
		key[0] = 4;
		memcpy(key + 1, &plain.in.sin_addr, 4);
	}
}

static size_t home_of(const struct source_table *table, const uint8_t key[9])
{
	uint64_t hash = table->seed ^ key[0], word;

	/* Two rounds of a 64-bit finalizer (multiply, xor, shift), keyed by the seed. */
	memcpy(&word, key + 1, 8);
	for (int round = 0; round < 2; round++) {
		hash ^= word;
		hash *= 0xff51afd7ed558ccdULL;
		hash ^= hash >> 33;
		hash += table->seed;
	}
	return (size_t)hash & table->mask;
}

/* The entry of the key, or the free entry for it. There always is one: the table is at most half full. */
static size_t place_of(const struct source_table *table, const uint8_t key[9])
{
	size_t place = home_of(table, key);

	while (table->places[place].count && memcmp(table->places[place].key, key, 9) != 0)
		place = (place + 1) & table->mask;
	return place;
}

/* Linear probing without tombstones: entries after the hole move into it if their hash allows. */
static void close_hole(struct source_table *table, size_t hole)
{
	size_t place = hole;

	for (;;) {
		place = (place + 1) & table->mask;
		if (!table->places[place].count)
			return;
		if (((place - home_of(table, table->places[place].key)) & table->mask) >=
		    ((place - hole) & table->mask)) {
			table->places[hole] = table->places[place];
			table->places[place].count = 0;
			hole = place;
		}
	}
}

void source_table_set_limit(struct source_table *table, unsigned int limit)
{
	pthread_mutex_lock(&table->lock);
	table->limit = limit ? limit : UINT_MAX;
	pthread_mutex_unlock(&table->lock);
}

bool source_table_enter(struct source_table *table, const struct address *source)
{
	uint8_t key[9];
	size_t place;
	bool entered;

	key_of(key, source);
	pthread_mutex_lock(&table->lock);
	place = place_of(table, key);
	entered = table->places[place].count < table->limit;
	if (entered) {
		memcpy(table->places[place].key, key, 9);
		table->places[place].count++;
	}
	pthread_mutex_unlock(&table->lock);
	return entered;
}

void source_table_leave(struct source_table *table, const struct address *source)
{
	uint8_t key[9];
	size_t place;

	key_of(key, source);
	pthread_mutex_lock(&table->lock);
	place = place_of(table, key);
	if (table->places[place].count && --table->places[place].count == 0)
		close_hole(table, place);
	pthread_mutex_unlock(&table->lock);
}
