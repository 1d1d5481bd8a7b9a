/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to the kernel by netlink(7), and its answers. Owns nothing: the caller owns the descriptor, which only one
 * thread uses. Any thread.
 */
#ifndef ALPNBPF_SYSTEM_NETLINK_H
#define ALPNBPF_SYSTEM_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>

/* A descriptor, which the caller closes, or -errno. protocol: NETLINK_ROUTE and so on. */
int netlink_open(int protocol);

/* Appends an attribute to the message, which has room for it. */
void netlink_add(struct nlmsghdr *message, unsigned short type, const void *data, size_t length);

/* Attributes added between the two are nested in one of this type. */
struct rtattr *netlink_begin(struct nlmsghdr *message, unsigned short type);
void netlink_end(const struct nlmsghdr *message, struct rtattr *nest);

/*
 * Sends the request and reads the whole answer: messages, each of which goes to `seen`, and what ends them: the
 * acknowledgement (NLM_F_ACK), or the end of a dump (NLM_F_DUMP). 0, or -errno, which may be the kernel's refusal. The
 * kernel has answered when the request is sent, so this does not wait, except for the rest of a dump.
 */
int netlink_ask(int fd, struct nlmsghdr *request, void (*seen)(void *context, const struct nlmsghdr *message),
		void *context);

#endif
