/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many sessions each source has, for --max-per-source: an IPv4 address or an IPv6 /64 is one source. Shared by all
 * workers, locked inside.
 */
#ifndef ALPNBPF_ENGINE_SOURCE_TABLE_H
#define ALPNBPF_ENGINE_SOURCE_TABLE_H

#include <stdbool.h>

#include "base/address.h"

struct source_table;

/* For at most `sessions` at once, `limit` (at least 1) of one source. NULL when there is no memory. */
struct source_table *source_table_new(unsigned int sessions, unsigned int limit);
void source_table_free(struct source_table *table);

/* From now on; sources that have more by then keep them. 0: no limit. */
void source_table_set_limit(struct source_table *table, unsigned int limit);

/* Count one more session of the source; false, and not counted, when it has its limit already. */
bool source_table_enter(struct source_table *table, const struct address *source);
/* One session less; the same address as at enter. */
void source_table_leave(struct source_table *table, const struct address *source);

#endif
