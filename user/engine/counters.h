/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is counted, and the one table of it: status, metrics and the last line of the log are loops over that. A worker
 * writes its own counters, on its thread; the main thread reads copies of them (snapshot.h), or what a worker that has
 * ended left behind. A new counter is a field here and a row in counters.c.
 */
#ifndef ALPNBPF_ENGINE_COUNTERS_H
#define ALPNBPF_ENGINE_COUNTERS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "engine/outcome.h"

/* Numbers of type uint64_t alone, arrays of them included: they are summed as one array. */
struct counters {
	/* A worker's. */
	uint64_t sessions;
	uint64_t hellos[CLIENTHELLO_RESULTS]; /* MORE: ended or stalled undecided */
	uint64_t routed[ROUTES], connected[ROUTES], connect_failed[ROUTES];
	uint64_t validations[VALIDATIONS];
	uint64_t passes; /* events of flows that asked for user space */
	uint64_t hello_timeout, hello_silent;
	uint64_t acme_fallbacks, connect_retries;
	uint64_t accept_backoffs, source_refused, stray_refused;
	uint64_t takeovers, takeovers_failed;
	uint64_t bytes_kernel, bytes_user, trimmed;
	uint64_t causes[CAUSES];

	/* Of the whole program; 0 in a worker's. The main thread adds them when it reads. */
	uint64_t steered, untakable; /* counted by the kernel */
	uint64_t reloads, reloads_failed;
};
static_assert(sizeof(struct counters) % sizeof(uint64_t) == 0, "an array of uint64_t");

/* Where a counter stands in status: an object in JSON, a line of the text. */
enum counter_group {
	COUNTER_SESSIONS,
	COUNTER_ROUTES, /* an element for each route */
	COUNTER_BYTES,
	COUNTER_HELLOS,
	COUNTER_VALIDATIONS,
	COUNTER_ENDS,
	COUNTER_EVENTS,
	COUNTER_RELOADS,
	COUNTER_GROUPS
};

/* A row of the table: a counter, or several that are told apart by what they count. */
struct counter {
	size_t offset, size; /* in struct counters */
	enum counter_group group;
	const char *name;                             /* in status; with several elements, those of COUNTER_ROUTES */
	const char *(*element_name)(unsigned int at); /* with several elements: what each counts. NULL: a single one */
	const char *total;  /* its name in the log; of several elements, what stands before each one's */
	const char *metric; /* its whole name */
	const char *help;   /* NULL: another sample of the metric of the row before */
	const char *label;  /* of the metric. NULL: none */
	const char *value;  /* of the label, with a single element */
};

extern const struct counter counter_table[];
extern const size_t counter_table_size;

/* Its elements. */
unsigned int counter_count(const struct counter *counter);
uint64_t counter_value(const struct counter *counter, const struct counters *counters, unsigned int at);
void counters_add(struct counters *sum, const struct counters *more);

/* How a route's backend was found when it was last tried. */
struct backend_state {
	uint64_t connected_at, failed_at; /* us; 0: never */
	int error;                        /* -errno of the last failure */
};

#endif
