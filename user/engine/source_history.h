/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of the sources of validations: when each was first seen, whether its last validation went well or
 * stalled, and how many wait or are served now. A record is for a prefix (IPv4 /24, IPv6 /48) or for one address (IPv6:
 * /64). There is room for a fixed number; those not used for longest make way. The owner locks: responder.c.
 */
#ifndef ALPNBPF_ENGINE_SOURCE_HISTORY_H
#define ALPNBPF_ENGINE_SOURCE_HISTORY_H

#include <stdint.h>

#include "base/address.h"
#include "engine/source_key.h"

/* In the order in which sources are served. */
enum source_standing {
	SOURCE_PROVED,  /* its last validation went on after the answer */
	SOURCE_UNKNOWN, /* none was answered yet, or long ago */
	SOURCE_STALLED, /* its last validation had its answer and fell silent */
};

struct source_record {
	uint64_t key;                               /* a keyed hash of the width and the address */
	uint64_t first_seen, proved_at, stalled_at; /* us; 0: never */
	unsigned int waiting, served;               /* validations; while there are any, the record stays */
	struct source_record *next_in_bucket;
	struct source_record *older, *newer; /* those without validations, by last use */
};

struct source_history;

/* Room for `records`, of which the caller keeps fewer in use at a time. NULL without memory. */
struct source_history *source_history_new(unsigned int records);
void source_history_free(struct source_history *history);

/* The record of the source, a new one if there is none. The caller then counts a validation in it. */
struct source_record *source_history_find(struct source_history *history, const struct address *source,
					  enum source_width width, uint64_t now);
/* A validation was counted off: without any, the record may make way for others. */
void source_history_release(struct source_history *history, struct source_record *record);

enum source_standing source_standing(const struct source_record *record, uint64_t now);

#endif
