// SPDX-License-Identifier: BSD-2-Clause
/* Dumps listening sockets over NETLINK_SOCK_DIAG. Owns nothing; one netlink socket within a call. */
#include "listening.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATE_LISTEN 10 /* TCP_LISTEN */

static int ask(int fd, uint8_t family)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1U << STATE_LISTEN},
	};

	return send(fd, &message, sizeof(message), 0) < 0 ? -errno : 0;
}

static void take(const struct inet_diag_msg *found, struct listening *out)
{
	memset(out, 0, sizeof(*out));
	out->cookie = (uint64_t)found->id.idiag_cookie[0] | (uint64_t)found->id.idiag_cookie[1] << 32;
	if (found->idiag_family == AF_INET) {
		out->address.len = sizeof(out->address.in);
		out->address.in.sin_family = AF_INET;
		out->address.in.sin_port = found->id.idiag_sport;
		memcpy(&out->address.in.sin_addr, found->id.idiag_src, sizeof(out->address.in.sin_addr));
	} else {
		out->address.len = sizeof(out->address.in6);
		out->address.in6.sin6_family = AF_INET6;
		out->address.in6.sin6_port = found->id.idiag_sport;
		memcpy(&out->address.in6.sin6_addr, found->id.idiag_src, sizeof(out->address.in6.sin6_addr));
	}
}

/* One datagram of the answer. 1 when there is more to come, 0 at the end, or -errno. */
static int receive(int fd, unsigned int port, struct listening *out, unsigned int most, unsigned int *count)
{
	union {
		struct nlmsghdr header;
		char bytes[16384];
	} buffer;
	ssize_t received = recv(fd, &buffer, sizeof(buffer), 0);
	size_t left;

	if (received < 0)
		return errno == EINTR ? 1 : -errno;
	left = (size_t)received;
	for (struct nlmsghdr *header = &buffer.header; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		const struct inet_diag_msg *found = NLMSG_DATA(header);

		if (header->nlmsg_type == NLMSG_DONE)
			return 0;
		if (header->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
		if (ntohs(found->id.idiag_sport) != port)
			continue;
		if (*count < most)
			take(found, &out[*count]);
		++*count;
	}
	return 1;
}

int listening_on(unsigned int port, struct listening *out, unsigned int most)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), result = 0;
	unsigned int count = 0;

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(families) && result >= 0; i++) {
		result = ask(fd, families[i]);
		if (result == 0)
			do
				result = receive(fd, port, out, most, &count);
			while (result > 0);
	}
	close(fd);
	return result < 0 ? result : (int)count;
}
