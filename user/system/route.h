/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the kernel would send a packet. Owns nothing: the caller owns the descriptor, from
 * netlink_open(NETLINK_ROUTE), which only one thread uses. Any thread.
 */
#ifndef ALPNBPF_SYSTEM_ROUTE_H
#define ALPNBPF_SYSTEM_ROUTE_H

#include "base/address.h"

/*
 * Would a packet to this address, without a mark, be delivered to this machine? 1 or 0, or -errno. The kernel's own
 * addresses are not all: a route of type `local` counts too. An address that TPROXY receives does not, because its
 * route is for marked packets only.
 */
int route_is_local(int fd, const struct address *address);

#endif
