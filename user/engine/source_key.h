/* SPDX-License-Identifier: BSD-2-Clause */
/* A source of connections as a number: its network or its address, hashed with a seed. No state; any thread. */
#ifndef ALPNBPF_ENGINE_SOURCE_KEY_H
#define ALPNBPF_ENGINE_SOURCE_KEY_H

#include <stdint.h>

#include "base/address.h"

/* A prefix is an IPv4 /24 or an IPv6 /48; an address of IPv6 is its /64. */
enum source_width { SOURCE_PREFIX, SOURCE_ADDRESS };

/* Clients choose their addresses, and must not be able to choose their keys. */
uint64_t source_seed(void);
uint64_t source_key(uint64_t seed, const struct address *source, enum source_width width);

#endif
