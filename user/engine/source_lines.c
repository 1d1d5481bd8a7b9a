// SPDX-License-Identifier: BSD-2-Clause
/*
 * Limits of log lines by network: see source_lines.h. Owns a table of fixed size and its lock, which is held for a few
 * comparisons. A network has one of the places of its row; a new one displaces the one that has been silent longest.
 *
 * A network of a CA asks for the hundred names of a certificate at once, so that many lines are written before they are
 * limited. A client with thousands of networks meets the limit over all; what CAs ask for meanwhile may be left out,
 * too.
 */
#include "engine/source_lines.h"

#include <pthread.h>
#include <stdint.h>

#include "base/log.h"
#include "engine/source_key.h"

#define ROWS   128
#define PLACES 8 /* of a row: 1,024 networks in all */

struct limit {
	unsigned int at_once, then_ms;
};

static const struct {
	struct limit network, all;
} limits[SOURCE_LINES] = {
	[SOURCE_LINE_VALIDATION] = {.network = {200, 1000}, .all = {1000, 50}},
	[SOURCE_LINE_TROUBLE] = {.network = {5, 10000}, .all = {50, 1000}},
};

struct network {
	uint64_t key;
	struct log_limit lines;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects all below */
static uint64_t seed;                                    /* 0: not drawn yet */
static struct network table[ROWS][PLACES];
static struct log_limit all[SOURCE_LINES];
static unsigned long not_written[SOURCE_LINES];

static struct network *network_of(uint64_t key)
{
	struct network *row = table[key % ROWS], *silent = row;

	for (unsigned int i = 0; i < PLACES; i++) {
		if (row[i].key == key)
			return &row[i];
		if (row[i].lines.full_at_ms < silent->lines.full_at_ms)
			silent = &row[i];
	}
	*silent = (struct network){.key = key};
	return silent;
}

static bool limit_pass(struct log_limit *lines, const struct limit *limit)
{
	unsigned long suppressed;

	return log_limit_burst(lines, limit->at_once, limit->then_ms, &suppressed);
}

bool source_lines_pass(enum source_line kind, const struct address *client, unsigned long *left_out)
{
	bool pass;

	pthread_mutex_lock(&lock);
	if (!seed)
		seed = source_seed() | 1;
	pass = limit_pass(&network_of(source_key(seed, client, SOURCE_PREFIX) + (uint64_t)kind)->lines,
			  &limits[kind].network) &&
	       limit_pass(&all[kind], &limits[kind].all);
	*left_out = not_written[kind];
	not_written[kind] = pass ? 0 : *left_out + 1;
	pthread_mutex_unlock(&lock);
	return pass;
}
