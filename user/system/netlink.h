/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to the kernel by netlink(7), and its answers. Owns nothing: the caller owns the descriptor, which only one
 * thread uses. Any thread.
 */
#ifndef ALPNBPF_SYSTEM_NETLINK_H
#define ALPNBPF_SYSTEM_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>

/* A descriptor, which the caller closes, or -errno. protocol: NETLINK_ROUTE and so on. */
int netlink_open(int protocol);

/* Appends an attribute to the message, which has room for it. */
void netlink_add(struct nlmsghdr *message, unsigned short type, const void *data, size_t length);

/*
 * Sends the request and reads the whole answer: the acknowledgement of a change (NLM_F_ACK), or the messages of a dump
 * (NLM_F_DUMP), each of which goes to `seen`. 0, or -errno, which may be the kernel's refusal.
 */
int netlink_ask(int fd, struct nlmsghdr *request, void (*seen)(void *context, const struct nlmsghdr *message),
		void *context);

#endif
