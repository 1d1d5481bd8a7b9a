/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct flow as the worker sees it, while the verdict may run: loads and stores in the order that alpnbpf.h asks for.
 * On the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_FLOW_H
#define ALPNBPF_ENGINE_FLOW_H

#include <stdint.h>

#include "alpnbpf.h"

/* A counter, as of now. */
static inline uint64_t flow_load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Bytes that have arrived so far, on a side that is in the map. */
static inline uint64_t flow_arrived(const struct flow *flow)
{
	return flow_load(&flow->redirected) + flow_load(&flow->passed);
}

/* What the verdict may do from now on. */
static inline void flow_set_mode(struct flow *flow, enum flow_mode mode)
{
	__atomic_store_n(&flow->mode, mode, __ATOMIC_SEQ_CST);
}

#endif
