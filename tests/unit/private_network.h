/* SPDX-License-Identifier: BSD-2-Clause */
/* A private network namespace for a test, with loopback up, so that no other process uses its ports. */
#ifndef ALPNBPF_UNIT_PRIVATE_NETWORK_H
#define ALPNBPF_UNIT_PRIVATE_NETWORK_H

#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* False: not permitted; the test stays in the namespace it is in. */
static inline bool enter_private_network(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	bool up;
	int fd;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	if (fd >= 0)
		close(fd);
	return up;
}

#endif
