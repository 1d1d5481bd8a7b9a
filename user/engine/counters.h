/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counters, and their table, from which status, metrics and the totals in the log are made. A worker writes its own
 * counters, on its thread; the main thread reads copies (snapshot.h), or the counters of a worker that has ended. A new
 * counter is a field here and a row in counters.c.
 */
#ifndef ALPNBPF_ENGINE_COUNTERS_H
#define ALPNBPF_ENGINE_COUNTERS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "engine/outcome.h"
#include "steering.h"

/* Only members of type uint64_t and arrays of it: they are summed as one array. */
struct counters {
	/* Counted by each worker. */
	uint64_t sessions;
	uint64_t hellos[CLIENTHELLO_RESULTS]; /* MORE: ended or stalled before a decision */
	uint64_t routed[ROUTES], connected[ROUTES], connect_failed[ROUTES];
	uint64_t validations[VALIDATIONS];
	uint64_t passes; /* events of flows that need user space */
	uint64_t hello_timeout, hello_silent;
	uint64_t acme_fallbacks, connect_retries;
	uint64_t accept_backoffs, source_refused, stray_refused, owner_refused;
	uint64_t takeovers, takeovers_failed;
	uint64_t untakable_immovable, untakable_resources, untakable_room; /* given back to the web server */
	uint64_t late_room, late_network;
	uint64_t bytes_kernel, bytes_user, trimmed;
	uint64_t causes[CAUSES];

	/* Counted for the whole program; 0 in a worker's. The main thread adds them when it reads. */
	uint64_t steered, held, released, strangers, untakable[STEER_UNTAKABLES],
		late[STEER_LATES]; /* counted by BPF programs */
	uint64_t reloads, reloads_failed;
	uint64_t log_lines_lost, log_lines_suppressed;
};
static_assert(sizeof(struct counters) % sizeof(uint64_t) == 0, "an array of uint64_t");

/* Where status shows a counter: an object in JSON, a line of text. */
enum counter_group {
	COUNTER_SESSIONS,
	COUNTER_ROUTES, /* with an element per route */
	COUNTER_BYTES,
	COUNTER_HELLOS,
	COUNTER_VALIDATIONS,
	COUNTER_ENDS,
	COUNTER_UNTAKABLE,
	COUNTER_LATE,
	COUNTER_EVENTS,
	COUNTER_RELOADS,
	COUNTER_GROUPS
};

/* A row of the table: one counter, or an array of them. */
struct counter {
	size_t offset, size; /* in struct counters */
	enum counter_group group;
	const char *name;                             /* in status; for arrays in COUNTER_ROUTES only */
	const char *(*element_name)(unsigned int at); /* of an array. NULL: a single counter */
	const char *total;  /* its name in the log; for arrays, the prefix of each element's */
	const char *metric; /* the full name of the metric */
	const char *help;   /* NULL: belongs to the metric of the previous row */
	const char *label;  /* the label of the metric. NULL: none */
	const char *value;  /* of the label, for a single counter */
};

extern const struct counter counter_table[];
extern const size_t counter_table_size;

/* The number of elements. */
unsigned int counter_count(const struct counter *counter);
uint64_t counter_value(const struct counter *counter, const struct counters *counters, unsigned int at);
void counters_add(struct counters *sum, const struct counters *more);

/* The last attempts to connect to a route's backend. */
struct backend_state {
	uint64_t connected_at, failed_at; /* us; 0: never */
	int error;                        /* -errno of the last failure */
};

#endif
