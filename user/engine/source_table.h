/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the sessions of each source, for --max-per-source: a source is an IPv4 address or an IPv6 /64. Shared by all
 * workers; it has its own lock.
 */
#ifndef ALPNBPF_ENGINE_SOURCE_TABLE_H
#define ALPNBPF_ENGINE_SOURCE_TABLE_H

#include <stdbool.h>

#include "base/address.h"

struct source_table;

/* For at most `sessions` sessions, `limit` (at least 1) per source. NULL without memory. */
struct source_table *source_table_new(unsigned int sessions, unsigned int limit);
void source_table_free(struct source_table *table);

/* Sets the limit; sources with more sessions keep them. 0: no limit. */
void source_table_set_limit(struct source_table *table, unsigned int limit);

/* Counts one more session of the source. False, and not counted, if the source is at its limit. */
bool source_table_enter(struct source_table *table, const struct address *source);
/* Counts one session less. The address must be the one given to source_table_enter(). */
void source_table_leave(struct source_table *table, const struct address *source);

#endif
