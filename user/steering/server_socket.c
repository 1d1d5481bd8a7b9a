// SPDX-License-Identifier: BSD-2-Clause
/*
 * Finds and removes sockets and requests by SOCK_DIAG: see server_socket.h. Without a cookie, SOCK_DESTROY for a
 * connection that is gone would close the listener (docs/KERNEL.md 11): so it is found first, and only that one is
 * removed. Owns nothing. Any thread.
 */
#include "steering/server_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steering/endpoint.h"
#include "system/netlink.h"

#define REMOVE_TRIES 3 /* a request may become a socket in between */

int server_socket_open(void)
{
	int fd = netlink_open(NETLINK_SOCK_DIAG), error;

	/* An answer that the kernel could not queue must not be waited for. */
	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

/* v4-mapped ends are asked for as IPv4, also those of a listener for both families. */
static struct question question_about(const struct steer_connection *ends, uint32_t device, uint16_t type)
{
	struct address client = steer_endpoint_address(&ends->from, device);
	struct address server = steer_endpoint_address(&ends->to, device);
	struct question question = {
		.header = {.nlmsg_len = sizeof(question), .nlmsg_type = type, .nlmsg_flags = NLM_F_ACK},
		.request = {.sdiag_family = (uint8_t)client.sa.sa_family,
			    .sdiag_protocol = IPPROTO_TCP,
			    .idiag_states = UINT32_MAX,
			    .id = {.idiag_sport = htons(ends->to.port),
				   .idiag_dport = htons(ends->from.port),
				   .idiag_if = device}},
	};
	struct inet_diag_sockid *id = &question.request.id;

	if (client.sa.sa_family == AF_INET) {
		memcpy(id->idiag_src, &server.in.sin_addr, sizeof(server.in.sin_addr));
		memcpy(id->idiag_dst, &client.in.sin_addr, sizeof(client.in.sin_addr));
	} else {
		memcpy(id->idiag_src, &server.in6.sin6_addr, sizeof(server.in6.sin6_addr));
		memcpy(id->idiag_dst, &client.in6.sin6_addr, sizeof(client.in6.sin6_addr));
	}
	return question;
}

static void set_cookie(struct inet_diag_sockid *id, uint64_t cookie)
{
	id->idiag_cookie[0] = (uint32_t)cookie;
	id->idiag_cookie[1] = (uint32_t)(cookie >> 32);
}

struct answer {
	struct inet_diag_msg socket;
	bool is_there;
};

static void read_socket(void *context, const struct nlmsghdr *header)
{
	struct answer *answer = context;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof(answer->socket)))
		return;
	memcpy(&answer->socket, NLMSG_DATA(header), sizeof(answer->socket));
	answer->is_there = true;
}

#define ANY_COOKIE UINT64_MAX /* twice INET_DIAG_NOCOOKIE */

int server_socket_find(int diag, const struct steer_connection *ends, uint32_t device, struct server_socket *found)
{
	struct question question = question_about(ends, device, SOCK_DIAG_BY_FAMILY);
	struct answer answer = {.is_there = false};
	int error;

	set_cookie(&question.request.id, ANY_COOKIE);
	error = netlink_ask(diag, &question.header, read_socket, &answer);
	if (error)
		return error;
	if (!answer.is_there || answer.socket.idiag_state == TCP_LISTEN ||
	    answer.socket.id.idiag_dport != question.request.id.idiag_dport)
		return -ENOENT;
	found->cookie = (uint64_t)answer.socket.id.idiag_cookie[0] | (uint64_t)answer.socket.id.idiag_cookie[1] << 32;
	found->is_request = answer.socket.idiag_state == TCP_SYN_RECV;
	return 0;
}

int server_socket_destroy(int diag, const struct steer_connection *ends, uint32_t device,
			  const struct server_socket *found)
{
	struct question question = question_about(ends, device, SOCK_DESTROY);

	if (found->cookie == ANY_COOKIE)
		return -ENOENT;
	set_cookie(&question.request.id, found->cookie);
	return netlink_ask(diag, &question.header, NULL, NULL);
}

int server_socket_remove(int diag, const struct steer_connection *ends, uint32_t device)
{
	struct server_socket found;
	int error = -ENOENT;

	for (int tries = 0; error == -ENOENT && tries < REMOVE_TRIES; tries++) {
		error = server_socket_find(diag, ends, device, &found);
		if (error)
			return error == -ENOENT ? 0 : error;
		error = server_socket_destroy(diag, ends, device, &found);
	}
	return error;
}
