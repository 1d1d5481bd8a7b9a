// SPDX-License-Identifier: BSD-2-Clause
/*
 * Lists listening sockets: by NETLINK_SOCK_DIAG or, if the kernel's inet_diag module is not available, from /proc/net,
 * which has no cookies. Owns nothing. Any thread.
 */
#include "system/listening.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/netlink.h"

#define STATE_LISTEN 10 /* TCP_LISTEN */

/* The array to fill, and how many sockets were found, which may be more than fit. */
struct found {
	struct listening *out;
	unsigned int most, count;
	bool (*wanted)(void *context, const struct listening *listening); /* NULL: all are */
	void *context;
};

static void add(struct found *found, const struct listening *listening)
{
	if (found->wanted && !found->wanted(found->context, listening))
		return;
	if (found->count < found->most)
		found->out[found->count] = *listening;
	found->count++;
}

static bool is_v6only(const struct nlmsghdr *header)
{
	const struct inet_diag_msg *found = NLMSG_DATA(header);
	const struct rtattr *attribute = (const struct rtattr *)(found + 1);
	size_t left = header->nlmsg_len - NLMSG_LENGTH(sizeof(*found));

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == INET_DIAG_SKV6ONLY)
			return *(const uint8_t *)RTA_DATA(attribute) != 0;
	return true; /* the kernel did not say */
}

static void read_listener(void *context, const struct nlmsghdr *header)
{
	const struct inet_diag_msg *found = NLMSG_DATA(header);
	struct listening out = {.uid = found->idiag_uid, .inode = found->idiag_inode};
	struct in6_addr host;

	out.cookie = (uint64_t)found->id.idiag_cookie[0] | (uint64_t)found->id.idiag_cookie[1] << 32;
	if (found->idiag_family == AF_INET) {
		out.address = address_v4(ntohl(found->id.idiag_src[0]), ntohs(found->id.idiag_sport));
	} else {
		memcpy(&host, found->id.idiag_src, sizeof(host));
		out.address = address_v6(&host, ntohs(found->id.idiag_sport));
		out.dual_stack = address_is_wildcard(&out.address) && !is_v6only(header);
	}
	add(context, &out);
}

/* "0100007F", or 32 digits: words in host byte order, as the kernel prints them. */
static bool parse_proc_address(struct address *out, const char *text, unsigned int port)
{
	struct in6_addr host;
	uint32_t words[4];
	size_t count = strlen(text) / 8;

	if (strlen(text) % 8 || (count != 1 && count != 4))
		return false;
	for (size_t i = 0; i < count; i++) {
		char word[9] = {0};

		memcpy(word, text + 8 * i, 8);
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	if (count == 1) {
		*out = address_v4(ntohl(words[0]), (uint16_t)port);
	} else {
		memcpy(&host, words, sizeof(host));
		*out = address_v6(&host, (uint16_t)port);
	}
	return true;
}

/* The next listening socket of an open /proc/net/tcp or tcp6. False at its end. */
static bool next_of_proc(FILE *file, struct listening *out)
{
	char line[512], text[33];
	unsigned int port, state;

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*d: %32[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %u %*s %lu", text, &port, &state, &out->uid,
			   &out->inode) == 5 && /* not the heading */
		    state == STATE_LISTEN &&
		    parse_proc_address(&out->address, text, port))
			return true;
	return false;
}

static int from_proc(unsigned int port, struct found *found)
{
	static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	unsigned int opened = 0;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		FILE *file = fopen(paths[i], "re");
		struct listening next = {0};

		if (!file)
			continue;
		opened++;
		while (next_of_proc(file, &next)) {
			if (address_port(&next.address) == port)
				add(found, &next);
		}
		fclose(file);
	}
	return opened ? (int)found->count : -ENOENT;
}

static int ask_sock_diag(int fd, uint8_t family, unsigned int port, struct found *found)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} message = {
		.header = {.nlmsg_len = sizeof(message), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_DUMP},
		.request = {.sdiag_family = family,
			    .sdiag_protocol = IPPROTO_TCP,
			    .idiag_states = 1U << STATE_LISTEN,
			    .id.idiag_sport = htons((uint16_t)port)},
	};

	return netlink_ask(fd, &message.header, read_listener, found);
}

static int from_sock_diag(unsigned int port, struct found *found)
{
	int fd = netlink_open(NETLINK_SOCK_DIAG), error;

	if (fd < 0)
		return fd;
	error = ask_sock_diag(fd, AF_INET, port, found);
	if (!error)
		error = ask_sock_diag(fd, AF_INET6, port, found);
	close(fd);
	return error ? error : (int)found->count;
}

int listening_wanted(unsigned int port, bool (*wanted)(void *context, const struct listening *listening), void *context,
		     struct listening *out, unsigned int most)
{
	const struct found none = {.out = out, .most = most, .wanted = wanted, .context = context};
	struct found found = none;
	int count = from_sock_diag(port, &found);

	if (count >= 0)
		return count;
	found = none;
	return from_proc(port, &found);
}

int listening_on(unsigned int port, struct listening *out, unsigned int most)
{
	return listening_wanted(port, NULL, NULL, out, most);
}
