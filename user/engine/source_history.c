// SPDX-License-Identifier: BSD-2-Clause
/* A chained hash table over a fixed pool of records: see source_history.h. Not locked: its owner does that. */
#include "engine/source_history.h"

#include <stdlib.h>

#include "base/timer.h"

#define MEMORY_US (600 * 1000 * US_PER_MS) /* what a source did is forgotten after ten minutes */

struct bucket {
	struct source_record *first;
};

struct source_history {
	uint64_t seed;
	uint32_t mask;
	unsigned int count, used;
	struct source_record *oldest, *newest; /* the ends of the list of records without validations */
	struct bucket *buckets;                /* [mask + 1]; owned */
	struct source_record records[];
};

struct source_history *source_history_new(unsigned int records)
{
	struct source_history *history = calloc(1, sizeof(*history) + records * sizeof(struct source_record));
	uint32_t buckets = 16;

	if (!history)
		return NULL;
	while (buckets < records)
		buckets *= 2;
	history->buckets = calloc(buckets, sizeof(struct bucket));
	if (!history->buckets) {
		free(history);
		return NULL;
	}
	history->mask = buckets - 1;
	history->count = records;
	history->seed = source_seed();
	return history;
}

void source_history_free(struct source_history *history)
{
	if (!history)
		return;
	free(history->buckets);
	free(history);
}

static void list_remove(struct source_history *history, struct source_record *record)
{
	*(record->older ? &record->older->newer : &history->oldest) = record->newer;
	*(record->newer ? &record->newer->older : &history->newest) = record->older;
	record->older = record->newer = NULL;
}

static void forget(struct source_history *history, struct source_record *record)
{
	struct source_record **at = &history->buckets[record->key & history->mask].first;

	list_remove(history, record);
	while (*at != record)
		at = &(*at)->next_in_bucket;
	*at = record->next_in_bucket;
}

static struct source_record *new_record(struct source_history *history, uint64_t key, uint64_t now)
{
	struct bucket *bucket = &history->buckets[key & history->mask];
	struct source_record *record = history->oldest;

	if (history->used < history->count)
		record = &history->records[history->used++];
	else
		forget(history, record);
	*record = (struct source_record){.key = key, .first_seen = now, .next_in_bucket = bucket->first};
	bucket->first = record;
	return record;
}

static bool is_in_use(const struct source_record *record)
{
	return record->waiting || record->served;
}

struct source_record *source_history_find(struct source_history *history, const struct address *source,
					  enum source_width width, uint64_t now)
{
	uint64_t key = source_key(history->seed, source, width);
	struct source_record *record = history->buckets[key & history->mask].first;

	while (record && record->key != key)
		record = record->next_in_bucket;
	if (!record)
		return new_record(history, key, now);
	if (!is_in_use(record))
		list_remove(history, record);
	return record;
}

void source_history_release(struct source_history *history, struct source_record *record)
{
	if (is_in_use(record))
		return;
	record->older = history->newest;
	*(history->newest ? &history->newest->newer : &history->oldest) = record;
	history->newest = record;
}

static bool is_remembered(uint64_t when, uint64_t now)
{
	return when && now - when < MEMORY_US;
}

enum source_standing source_standing(const struct source_record *record, uint64_t now)
{
	if (is_remembered(record->stalled_at, now) && record->stalled_at >= record->proved_at)
		return SOURCE_STALLED;
	return is_remembered(record->proved_at, now) ? SOURCE_PROVED : SOURCE_UNKNOWN;
}
