/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a network interface is. Owns nothing: the caller owns the descriptor, from netlink_open(NETLINK_ROUTE), which
 * only one thread uses. Any thread.
 */
#ifndef ALPNBPF_SYSTEM_LINK_H
#define ALPNBPF_SYSTEM_LINK_H

#include <net/ethernet.h>

/* The interface's link-layer address, or its beginning; zeros if it has none. 0 or -errno: -ENODEV, it is gone. */
int link_address(int fd, unsigned int ifindex, unsigned char address[ETHER_ADDR_LEN]);

#endif
