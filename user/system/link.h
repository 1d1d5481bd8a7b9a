/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a network interface is. By ioctl(), not netlink: that would wait for the kernel's lock of all network
 * configuration, which is held for seconds where many containers end. Owns nothing. Any thread.
 */
#ifndef ALPNBPF_SYSTEM_LINK_H
#define ALPNBPF_SYSTEM_LINK_H

#include <net/ethernet.h>

/* A descriptor for link_address(), which the caller closes, or -errno. */
int link_open(void);
/* The interface's link-layer address, or its beginning; zeros if it has none. 0 or -errno: -ENODEV, it is gone. */
int link_address(int fd, unsigned int ifindex, unsigned char address[ETHER_ADDR_LEN]);

#endif
