/* SPDX-License-Identifier: BSD-2-Clause */
/* Converts addresses from and to struct steer_endpoint, which the steering programs use. No state; any thread. */
#ifndef ALPNBPF_STEERING_ENDPOINT_H
#define ALPNBPF_STEERING_ENDPOINT_H

#include "base/address.h"
#include "steering.h"

enum steer_family steer_family_of(const struct address *address);
/* IPv4 becomes v4-mapped. */
struct steer_endpoint steer_endpoint_from(const struct address *address);
/* The reverse. scope: the interface of a link-local address. */
struct address steer_endpoint_address(const struct steer_endpoint *endpoint, unsigned int scope);

#endif
