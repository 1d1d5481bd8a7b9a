/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct flow as the worker sees it, while the verdict may run: loads and stores in the order that alpnbpf.h asks for.
 * On the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_FLOW_H
#define ALPNBPF_ENGINE_FLOW_H

#include <stddef.h>
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

/* What the verdict has met and cannot repair. */
static inline enum flow_fault flow_fault(const struct flow *flow)
{
	return (enum flow_fault)__atomic_load_n(&flow->fault, __ATOMIC_ACQUIRE);
}

/* The route as the first bytes say; ROUTE_UNDECIDED as long as they do not. What they say is in `hello` then. */
static inline enum route flow_route(const struct flow *flow)
{
	return (enum route)__atomic_load_n(&flow->route, __ATOMIC_ACQUIRE);
}

/* The route that is taken: the verdict reads no first bytes any more. */
static inline void flow_choose_route(struct flow *flow, enum route route)
{
	__atomic_store_n(&flow->route_chosen, (__u16)route, __ATOMIC_SEQ_CST);
}

/* send() took so many bytes. */
static inline void flow_add_forwarded(struct flow *flow, size_t bytes)
{
	__atomic_store_n(&flow->forwarded, flow->forwarded + bytes, __ATOMIC_SEQ_CST);
}

/* What the verdict may do from now on. */
static inline void flow_set_mode(struct flow *flow, enum flow_mode mode)
{
	__atomic_store_n(&flow->mode, mode, __ATOMIC_SEQ_CST);
}

#endif
