// SPDX-License-Identifier: BSD-2-Clause
/* Asks the kernel for an interface: see link.h. Owns nothing. Any thread. */
#include "system/link.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>

#include "system/netlink.h"

static void read_address(void *context, const struct nlmsghdr *header)
{
	const struct ifinfomsg *link = NLMSG_DATA(header);
	size_t left;

	if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(*link)))
		return;
	left = IFLA_PAYLOAD(header);
	for (const struct rtattr *at = IFLA_RTA(link); RTA_OK(at, left); at = RTA_NEXT(at, left))
		if (at->rta_type == IFLA_ADDRESS)
			memcpy(context, RTA_DATA(at),
			       RTA_PAYLOAD(at) < ETHER_ADDR_LEN ? RTA_PAYLOAD(at) : ETHER_ADDR_LEN);
}

int link_address(int fd, unsigned int ifindex, unsigned char address[ETHER_ADDR_LEN])
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
		char attributes[16];
	} message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.link)),
			   .nlmsg_type = RTM_GETLINK,
			   .nlmsg_flags = NLM_F_ACK},
		.link = {.ifi_index = (int)ifindex},
	};
	uint32_t brief = RTEXT_FILTER_SKIP_STATS;

	memset(address, 0, ETHER_ADDR_LEN);
	netlink_add(&message.header, IFLA_EXT_MASK, &brief, sizeof(brief));
	return netlink_ask(fd, &message.header, read_address, address);
}
