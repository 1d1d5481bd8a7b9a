// SPDX-License-Identifier: BSD-2-Clause
/* Rules and routes by rtnetlink(7). Owns one rule, one route a family, known by their table, priority and protocol. */
#include "system/policy_route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/capabilities.h"

#define TABLE    10443U
#define PRIORITY 10443U /* behind the local table, ahead of main */
#define PROTOCOL 0xac   /* so that ours can be told from others */

struct message {
	struct nlmsghdr header;
	union {
		struct fib_rule_hdr rule;
		struct rtmsg route;
	};
	char attributes[128];
};

static void put(struct message *message, unsigned short type, const void *data, size_t length)
{
	struct rtattr *attribute = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), data, length);
	message->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

/* Sends it and waits for the kernel's word. 0 or -errno. */
static int talk(int fd, struct message *message)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[512];
	} answer;

	message->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(fd, message, message->header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		return -errno;
	return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
}

static int change_rule(int fd, unsigned char family, unsigned short type)
{
	struct in_addr loopback4 = {htonl(INADDR_LOOPBACK & IN_CLASSA_NET)};
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.rule)), .nlmsg_type = type},
		.rule = {.family = family,
			 .src_len = family == AF_INET ? 8 : 128,
			 .action = FR_ACT_TO_TBL,
			 .table = RT_TABLE_UNSPEC},
	};
	uint32_t table = TABLE, priority = PRIORITY;
	uint8_t protocol = PROTOCOL;

	if (type == RTM_NEWRULE)
		message.header.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	put(&message, FRA_PRIORITY, &priority, sizeof(priority));
	put(&message, FRA_TABLE, &table, sizeof(table));
	put(&message, FRA_PROTOCOL, &protocol, sizeof(protocol));
	if (family == AF_INET)
		put(&message, FRA_SRC, &loopback4, sizeof(loopback4));
	else
		put(&message, FRA_SRC, &in6addr_loopback, sizeof(in6addr_loopback));
	put(&message, FRA_IIFNAME, "lo", sizeof("lo"));
	return talk(fd, &message);
}

static int change_route(int fd, unsigned char family, unsigned short type)
{
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.route)), .nlmsg_type = type},
		.route = {.rtm_family = family,
			  .rtm_table = RT_TABLE_UNSPEC,
			  .rtm_protocol = PROTOCOL,
			  .rtm_scope = RT_SCOPE_HOST,
			  .rtm_type = RTN_LOCAL},
	};
	uint32_t table = TABLE, lo = if_nametoindex("lo");

	if (type == RTM_NEWROUTE)
		message.header.nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	put(&message, RTA_TABLE, &table, sizeof(table));
	put(&message, RTA_OIF, &lo, sizeof(lo));
	return talk(fd, &message);
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
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error4, error6;
	char text[CAPABILITIES_TEXT_MAX];

	*why = (struct sentence){0};
	error4 = fd < 0 ? -errno : add_family(fd, AF_INET);
	error6 = fd < 0 ? error4 : add_family(fd, AF_INET6);
	if (fd >= 0)
		close(fd);
	if (error4 && error6)
		return sentence_error(why, error4, "cannot set up the routing for transparent connections: %s",
				      capabilities_strerror(error4, CAPABILITY(CAP_NET_ADMIN), text, sizeof(text)));
	if (error4 || error6)
		sentence_set(why, "no routing for transparent connections by %s: %s", error4 ? "IPv4" : "IPv6",
			     strerror(error4 ? -error4 : -error6));
	return 0;
}

void policy_route_remove(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return;
	remove_family(fd, AF_INET);
	remove_family(fd, AF_INET6);
	close(fd);
}
