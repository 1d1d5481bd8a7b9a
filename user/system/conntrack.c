// SPDX-License-Identifier: BSD-2-Clause
/* Asks connection tracking for a connection: see conntrack.h. Owns nothing. Any thread. */
#include "system/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/netlink.h"

#define TRACKED_COUNT "/proc/sys/net/netfilter/nf_conntrack_count" /* exists while connections can be tracked */

struct request {
	struct nlmsghdr header;
	struct nfgenmsg family;
	char attributes[128];
};

struct answer {
	struct address from, to;
	bool has_from, has_to;
};

int conntrack_open(void)
{
	return netlink_open(NETLINK_NETFILTER);
}

/* --- the request --- */

static void add_tuple(struct nlmsghdr *message, unsigned short kind, const struct address *from,
		      const struct address *to)
{
	bool v4 = from->sa.sa_family == AF_INET;
	uint16_t from_port = htons((uint16_t)address_port(from)), to_port = htons((uint16_t)address_port(to));
	uint8_t protocol = IPPROTO_TCP;
	struct rtattr *tuple = netlink_begin(message, kind), *part = netlink_begin(message, CTA_TUPLE_IP);

	if (v4) {
		netlink_add(message, CTA_IP_V4_SRC, &from->in.sin_addr, sizeof(from->in.sin_addr));
		netlink_add(message, CTA_IP_V4_DST, &to->in.sin_addr, sizeof(to->in.sin_addr));
	} else {
		netlink_add(message, CTA_IP_V6_SRC, &from->in6.sin6_addr, sizeof(from->in6.sin6_addr));
		netlink_add(message, CTA_IP_V6_DST, &to->in6.sin6_addr, sizeof(to->in6.sin6_addr));
	}
	netlink_end(message, part);
	part = netlink_begin(message, CTA_TUPLE_PROTO);
	netlink_add(message, CTA_PROTO_NUM, &protocol, sizeof(protocol));
	netlink_add(message, CTA_PROTO_SRC_PORT, &from_port, sizeof(from_port));
	netlink_add(message, CTA_PROTO_DST_PORT, &to_port, sizeof(to_port));
	netlink_end(message, part);
	netlink_end(message, tuple);
}

/* --- the answer --- */

static const struct rtattr *find(const void *attributes, size_t length, unsigned short type)
{
	for (const struct rtattr *at = attributes; RTA_OK(at, length); at = RTA_NEXT(at, length))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

static const struct rtattr *find_in(const struct rtattr *nest, unsigned short type)
{
	return nest ? find(RTA_DATA(nest), RTA_PAYLOAD(nest), type) : NULL;
}

/* Keeps the family and the scope of `address`. */
static bool read_end(const struct rtattr *tuple, unsigned short ip, unsigned short port, struct address *address)
{
	bool v4 = address->sa.sa_family == AF_INET;
	const struct rtattr *host = find_in(find_in(tuple, CTA_TUPLE_IP), ip);
	const struct rtattr *number = find_in(find_in(tuple, CTA_TUPLE_PROTO), port);

	if (!host || !number || RTA_PAYLOAD(number) != sizeof(in_port_t) ||
	    RTA_PAYLOAD(host) != (v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr)))
		return false;
	if (v4) {
		memcpy(&address->in.sin_addr, RTA_DATA(host), sizeof(address->in.sin_addr));
		memcpy(&address->in.sin_port, RTA_DATA(number), sizeof(address->in.sin_port));
	} else {
		memcpy(&address->in6.sin6_addr, RTA_DATA(host), sizeof(address->in6.sin6_addr));
		memcpy(&address->in6.sin6_port, RTA_DATA(number), sizeof(address->in6.sin6_port));
	}
	return true;
}

static void read_connection(void *context, const struct nlmsghdr *header)
{
	struct answer *answer = context;
	bool v4 = answer->from.sa.sa_family == AF_INET;
	const struct rtattr *original;

	if (header->nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return;
	original = find((const char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(struct nfgenmsg)),
			NLMSG_PAYLOAD(header, sizeof(struct nfgenmsg)), CTA_TUPLE_ORIG);
	answer->has_from = read_end(original, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, CTA_PROTO_SRC_PORT, &answer->from);
	answer->has_to = read_end(original, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, CTA_PROTO_DST_PORT, &answer->to);
}

/* The connection's answers go from `to` to `from`, whatever its client's packets look like. */
int conntrack_on_wire(int fd, struct address *from, struct address *to)
{
	struct request message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.family)),
			   .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
			   .nlmsg_flags = NLM_F_ACK},
		.family = {.nfgen_family = (uint8_t)from->sa.sa_family, .version = NFNETLINK_V0},
	};
	struct answer answer = {.from = *from, .to = *to};
	int error = -EOPNOTSUPP;

	if (fd >= 0) {
		add_tuple(&message.header, CTA_TUPLE_REPLY, to, from);
		error = netlink_ask(fd, &message.header, read_connection, &answer);
	}
	if (error == -ENOENT)
		return 0;
	if (error == -EINVAL || error == -EOPNOTSUPP) /* nfnetlink without ctnetlink */
		return access(TRACKED_COUNT, F_OK) ? 0 : -EOPNOTSUPP;
	if (error)
		return error;
	if (!answer.has_from || !answer.has_to)
		return -EPROTO;
	*from = answer.from;
	*to = answer.to;
	return 0;
}
