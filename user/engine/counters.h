/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker counts, and how it found the backends. A worker writes its own, on its thread; the main thread reads
 * copies of them (report.h), or what a worker that has ended left behind.
 */
#ifndef ALPNBPF_ENGINE_COUNTERS_H
#define ALPNBPF_ENGINE_COUNTERS_H

#include <assert.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "engine/outcome.h"

/* Numbers of type uint64_t alone, arrays of them included: they are summed as one array. */
struct counters {
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
};
static_assert(sizeof(struct counters) % sizeof(uint64_t) == 0, "an array of uint64_t");

/* How a route's backend was found when it was last tried. */
struct backend_state {
	uint64_t connected_at, failed_at; /* us; 0: never */
	int error;                        /* -errno of the last failure */
};

#endif
