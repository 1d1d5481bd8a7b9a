/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access to struct flow while the verdict may run: loads and stores in the order that alpnbpf.h requires. On the thread
 * of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_FLOW_H
#define ALPNBPF_ENGINE_FLOW_H

#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"

/* The current value of a counter. */
static inline uint64_t flow_load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Bytes that have arrived so far, from a side that is in the map. */
static inline uint64_t flow_arrived(const struct flow *flow)
{
	return flow_load(&flow->redirected) + flow_load(&flow->passed);
}

/* A fault that the verdict found and cannot repair. */
static inline enum flow_fault flow_fault(const struct flow *flow)
{
	return (enum flow_fault)__atomic_load_n(&flow->fault, __ATOMIC_ACQUIRE);
}

/* The route by the first bytes, with their fields in `hello`; ROUTE_UNDECIDED until it is known. */
static inline enum route flow_route(const struct flow *flow)
{
	return (enum route)__atomic_load_n(&flow->route, __ATOMIC_ACQUIRE);
}

/* Sets the route taken: the verdict then stops reading first bytes. */
static inline void flow_choose_route(struct flow *flow, enum route route)
{
	__atomic_store_n(&flow->route_chosen, (__u16)route, __ATOMIC_SEQ_CST);
}

/* Adds bytes that send() took. */
static inline void flow_add_forwarded(struct flow *flow, size_t bytes)
{
	__atomic_store_n(&flow->forwarded, flow->forwarded + bytes, __ATOMIC_SEQ_CST);
}

/* Sets what the verdict may do from now on. */
static inline void flow_set_mode(struct flow *flow, enum flow_mode mode)
{
	__atomic_store_n(&flow->mode, mode, __ATOMIC_SEQ_CST);
}

#endif
