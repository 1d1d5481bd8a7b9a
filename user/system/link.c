// SPDX-License-Identifier: BSD-2-Clause
/* Asks the kernel for an interface: see link.h. Owns nothing. Any thread. */
#include "system/link.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int link_open(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) /* a machine without IPv4 */
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int link_address(int fd, unsigned int ifindex, unsigned char address[ETHER_ADDR_LEN])
{
	struct ifreq request = {.ifr_ifindex = (int)ifindex};

	if (ioctl(fd, SIOCGIFNAME, &request) || ioctl(fd, SIOCGIFHWADDR, &request))
		return -errno;
	memcpy(address, request.ifr_hwaddr.sa_data, ETHER_ADDR_LEN);
	return 0;
}
