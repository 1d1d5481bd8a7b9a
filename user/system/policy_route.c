// SPDX-License-Identifier: BSD-2-Clause
/*
 * Rules and routes by rtnetlink(7). Owns one rule and one route per family, marked by their table, priority and
 * protocol. Main thread.
 */
#include "system/policy_route.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "system/capabilities.h"
#include "system/netlink.h"

#define TABLE    10443U
#define PRIORITY 10443U /* after the local table, before main */
#define PROTOCOL 0xac   /* marks our rules and routes */

struct message {
	struct nlmsghdr header;
	union {
		struct fib_rule_hdr rule;
		struct rtmsg route;
	};
	char attributes[128];
};

static int change_rule(int fd, unsigned char family, unsigned short type)
{
	struct in_addr loopback4 = {htonl(INADDR_LOOPBACK & IN_CLASSA_NET)};
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.rule)),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_ACK},
		.rule = {.family = family,
			 .src_len = family == AF_INET ? 8 : 128,
			 .action = FR_ACT_TO_TBL,
			 .table = RT_TABLE_UNSPEC},
	};
	uint32_t table = TABLE, priority = PRIORITY;
	uint8_t protocol = PROTOCOL;

	if (type == RTM_NEWRULE)
		message.header.nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	netlink_add(&message.header, FRA_PRIORITY, &priority, sizeof(priority));
	netlink_add(&message.header, FRA_TABLE, &table, sizeof(table));
	netlink_add(&message.header, FRA_PROTOCOL, &protocol, sizeof(protocol));
	if (family == AF_INET)
		netlink_add(&message.header, FRA_SRC, &loopback4, sizeof(loopback4));
	else
		netlink_add(&message.header, FRA_SRC, &in6addr_loopback, sizeof(in6addr_loopback));
	netlink_add(&message.header, FRA_IIFNAME, "lo", sizeof("lo"));
	return netlink_ask(fd, &message.header, NULL, NULL);
}

static int change_route(int fd, unsigned char family, unsigned short type)
{
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.route)),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_ACK},
		.route = {.rtm_family = family,
			  .rtm_table = RT_TABLE_UNSPEC,
			  .rtm_protocol = PROTOCOL,
			  .rtm_scope = RT_SCOPE_HOST,
			  .rtm_type = RTN_LOCAL},
	};
	uint32_t table = TABLE, lo = if_nametoindex("lo");

	if (type == RTM_NEWROUTE)
		message.header.nlmsg_flags |= NLM_F_CREATE | NLM_F_REPLACE;
	netlink_add(&message.header, RTA_TABLE, &table, sizeof(table));
	netlink_add(&message.header, RTA_OIF, &lo, sizeof(lo));
	return netlink_ask(fd, &message.header, NULL, NULL);
}

static void remove_family(int fd, unsigned char family)
{
	while (change_rule(fd, family, RTM_DELRULE) == 0)
		;
	change_route(fd, family, RTM_DELROUTE);
}

static int add_family(int fd, unsigned char family)
{
	int error;

	remove_family(fd, family);
	error = change_route(fd, family, RTM_NEWROUTE);
	if (!error)
		error = change_rule(fd, family, RTM_NEWRULE);
	if (error)
		remove_family(fd, family);
	return error;
}

int policy_route_add(struct sentence *why)
{
	int fd = netlink_open(NETLINK_ROUTE), error4, error6;
	char text[CAPABILITIES_TEXT_MAX];

	*why = (struct sentence){0};
	error4 = fd < 0 ? fd : add_family(fd, AF_INET);
	error6 = fd < 0 ? error4 : add_family(fd, AF_INET6);
	if (fd >= 0)
		close(fd);
	if (error4 && error6)
		return sentence_error(why, error4, "cannot set up the routing for transparent connections: %s",
				      capabilities_strerror(error4, CAPABILITY(CAP_NET_ADMIN), text, sizeof(text)));
	if (error4 || error6)
		sentence_set(why, "cannot set up the routing for transparent connections over %s: %s",
			     error4 ? "IPv4" : "IPv6", strerror(error4 ? -error4 : -error6));
	return 0;
}

void policy_route_remove(void)
{
	int fd = netlink_open(NETLINK_ROUTE);

	if (fd < 0)
		return;
	remove_family(fd, AF_INET);
	remove_family(fd, AF_INET6);
	close(fd);
}
