// SPDX-License-Identifier: BSD-2-Clause
/* Netlink requests: see netlink.h. Owns the number of the last request. Any thread. */
#include "system/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int netlink_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -errno : fd;
}

void netlink_add(struct nlmsghdr *message, unsigned short type, const void *data, size_t length)
{
	struct rtattr *attribute = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	if (length)
		memcpy(RTA_DATA(attribute), data, length);
	message->nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

struct rtattr *netlink_begin(struct nlmsghdr *message, unsigned short type)
{
	struct rtattr *nest = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->nlmsg_len));

	netlink_add(message, type | NLA_F_NESTED, NULL, 0);
	return nest;
}

void netlink_end(const struct nlmsghdr *message, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((const char *)message + NLMSG_ALIGN(message->nlmsg_len) - (char *)nest);
}

/* Reads one datagram of the answer to request `number`. 1 if more follow, 0 at the end, or -errno. */
static int read_answer(int fd, uint32_t number, void (*seen)(void *context, const struct nlmsghdr *message),
		       void *context)
{
	union {
		struct nlmsghdr header;
		char bytes[16384]; /* more than the kernel puts into one datagram of a dump */
	} buffer;
	ssize_t received = recv(fd, &buffer, sizeof(buffer), 0);
	size_t left;

	if (received < 0)
		return errno == EINTR ? 1 : -errno;
	left = (size_t)received;
	for (struct nlmsghdr *header = &buffer.header; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		if (header->nlmsg_seq != number) /* what is left of an answer that was cut short by an error */
			continue;
		if (header->nlmsg_type == NLMSG_DONE) /* it carries the result of the dump */
			return header->nlmsg_len < NLMSG_LENGTH(sizeof(int)) ? 0 : *(const int *)NLMSG_DATA(header);
		if (header->nlmsg_type == NLMSG_ERROR) /* 0: an acknowledgement */
			return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
		if (seen)
			seen(context, header);
	}
	return 1;
}

int netlink_ask(int fd, struct nlmsghdr *request, void (*seen)(void *context, const struct nlmsghdr *message),
		void *context)
{
	static _Atomic uint32_t last;
	int result;

	request->nlmsg_seq = atomic_fetch_add(&last, 1) + 1;
	request->nlmsg_flags |= NLM_F_REQUEST;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	do
		result = read_answer(fd, request->nlmsg_seq, seen, context);
	while (result > 0);
	return result;
}
