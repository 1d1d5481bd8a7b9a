// SPDX-License-Identifier: BSD-2-Clause
/* Asks the kernel for a route: see route.h. Owns nothing. Any thread. */
#include "system/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "system/netlink.h"

#define IPV6_BITS 128

static void read_route(void *context, const struct nlmsghdr *header)
{
	const struct rtmsg *route = NLMSG_DATA(header);

	if (header->nlmsg_type == RTM_NEWROUTE && header->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)))
		*(int *)context = route->rtm_type;
}

int route_is_local(int fd, const struct address *address)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
		char attributes[64];
	} message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.route)),
			   .nlmsg_type = RTM_GETROUTE,
			   .nlmsg_flags = NLM_F_ACK},
		.route = {.rtm_family = (unsigned char)address->sa.sa_family},
	};
	int type = RTN_UNSPEC, error;

	if (address->sa.sa_family == AF_INET) {
		message.route.rtm_dst_len = 32;
		netlink_add(&message.header, RTA_DST, &address->in.sin_addr, sizeof(address->in.sin_addr));
	} else {
		message.route.rtm_dst_len = IPV6_BITS;
		netlink_add(&message.header, RTA_DST, &address->in6.sin6_addr, sizeof(address->in6.sin6_addr));
	}
	error = netlink_ask(fd, &message.header, read_route, &type);
	if (error == -ENETUNREACH || error == -EHOSTUNREACH)
		return 0;
	return error ? error : type == RTN_LOCAL;
}
