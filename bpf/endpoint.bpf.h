/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fills and compares struct steer_endpoint. */
#ifndef ALPNBPF_ENDPOINT_BPF_H
#define ALPNBPF_ENDPOINT_BPF_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steering.h"

#define AF_INET  2
#define AF_INET6 10

static __always_inline void set_v4(struct steer_endpoint *endpoint, __be32 addr)
{
	endpoint->addr[0] = endpoint->addr[1] = 0;
	endpoint->addr[2] = bpf_htonl(0xffff);
	endpoint->addr[3] = addr;
}

/*
 * Fills `endpoint->addr` from a context's ip4 and ip6 fields. The asm makes each load separate; otherwise the compiler
 * would select between two addresses within the context, which the verifier refuses.
 */
#define SET_ADDRESS(endpoint, family, ip4, ip6)                                                                        \
	do {                                                                                                           \
		__u32 v4 = (ip4), a0 = (ip6)[0], a1 = (ip6)[1], a2 = (ip6)[2], a3 = (ip6)[3];                          \
		asm volatile("" : "+r"(v4), "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3));                                   \
		if ((family) == AF_INET) {                                                                             \
			set_v4(endpoint, v4);                                                                          \
		} else {                                                                                               \
			(endpoint)->addr[0] = a0;                                                                      \
			(endpoint)->addr[1] = a1;                                                                      \
			(endpoint)->addr[2] = a2;                                                                      \
			(endpoint)->addr[3] = a3;                                                                      \
		}                                                                                                      \
	} while (0)

static __always_inline bool is_v4(const struct steer_endpoint *endpoint)
{
	return endpoint->addr[0] == 0 && endpoint->addr[1] == 0 && endpoint->addr[2] == bpf_htonl(0xffff);
}

static __always_inline bool same_end(const struct steer_endpoint *one, const struct steer_endpoint *other)
{
	return one->addr[0] == other->addr[0] && one->addr[1] == other->addr[1] && one->addr[2] == other->addr[2] &&
	       one->addr[3] == other->addr[3] && one->port == other->port;
}

static __always_inline bool is_wildcard(const struct steer_endpoint *endpoint)
{
	return endpoint->addr[0] == 0 && endpoint->addr[1] == 0 && endpoint->addr[3] == 0 &&
	       (endpoint->addr[2] == 0 || endpoint->addr[2] == bpf_htonl(0xffff));
}

#endif
