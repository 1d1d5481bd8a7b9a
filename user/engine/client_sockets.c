// SPDX-License-Identifier: BSD-2-Clause
/* Sockets for clients' addresses: see client_sockets.h. Owns both ends of the pairs. Threads as said there. */
#include "engine/client_sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"
#include "engine/socket_options.h"

#define BUFFER   (64 * 1024) /* some 40 sockets */
#define AGAIN_US (100 * US_PER_MS)

static const sa_family_t families[CLIENT_FAMILIES] = {AF_INET, AF_INET6};

/* Control data: one descriptor. */
union passed {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int open_pair(struct client_sockets *sockets, unsigned int family)
{
	int pair[2], size = BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	sockets->to[family] = pair[0];
	sockets->from[family] = pair[1];
	descriptor_refuse_passed(pair[0]);
	return setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) ? -errno : 0;
}

int client_sockets_open(struct client_sockets *sockets)
{
	int error = 0;

	for (unsigned int family = 0; !error && family < CLIENT_FAMILIES; family++)
		error = open_pair(sockets, family);
	if (!error)
		client_sockets_fill(sockets);
	return error;
}

void client_sockets_let_go(struct client_sockets *sockets)
{
	for (unsigned int family = 0; family < CLIENT_FAMILIES; family++)
		descriptor_close(&sockets->from[family]);
}

void client_sockets_close(struct client_sockets *sockets)
{
	client_sockets_let_go(sockets);
	for (unsigned int family = 0; family < CLIENT_FAMILIES; family++)
		descriptor_close(&sockets->to[family]);
}

/* --- main thread --- */

static int make_socket(sa_family_t family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), error;

	if (fd < 0)
		return -errno;
	error = socket_set_transparent(fd, family);
	if (error)
		descriptor_close(&fd);
	return error ? error : fd;
}

static int send_socket(int to, int fd)
{
	union passed passed = {
		.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd))}};
	struct iovec part = {.iov_base = "", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &passed, .msg_controllen = sizeof(passed)};

	memcpy(CMSG_DATA(&passed.header), &fd, sizeof(fd));
	return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int add_one(const struct client_sockets *sockets, unsigned int family)
{
	int fd = make_socket(families[family]), error;

	if (fd < 0)
		return fd;
	error = send_socket(sockets->to[family], fd);
	close(fd);
	return error;
}

static void fill_family(struct client_sockets *sockets, unsigned int family)
{
	static struct log_limit limit;
	struct pollfd room = {.fd = sockets->to[family], .events = POLLOUT};
	unsigned long suppressed;
	int error = 0;

	while (!error && poll(&room, 1, 0) == 1)
		error = add_one(sockets, family);
	if (error == -EAFNOSUPPORT || error == -EPIPE) { /* there are no such clients; or the workers have ended */
		descriptor_close(&sockets->to[family]);
	} else if (error && error != -EAGAIN) {
		sockets->again = monotonic_us() + AGAIN_US;
		if (log_limit_pass(&limit, &suppressed))
			log_warn(
				"--client-address transparent: cannot open a socket: %s; connections to the web server "
				"wait (%lu more suppressed)",
				strerror(-error), suppressed);
	}
}

void client_sockets_fill(struct client_sockets *sockets)
{
	if (sockets->again && monotonic_us() < sockets->again)
		return;
	sockets->again = 0;
	for (unsigned int family = 0; family < CLIENT_FAMILIES; family++)
		if (sockets->to[family] >= 0)
			fill_family(sockets, family);
}

int client_sockets_fd(const struct client_sockets *sockets, unsigned int family)
{
	return sockets->again ? NO_DESCRIPTOR : sockets->to[family];
}

uint64_t client_sockets_next(const struct client_sockets *sockets)
{
	return sockets->again ? sockets->again : UINT64_MAX;
}

/* --- workers --- */

int client_sockets_take(const struct client_sockets *sockets, sa_family_t family)
{
	union passed passed;
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &passed, .msg_controllen = sizeof(passed)};
	ssize_t received = recvmsg(sockets->from[family == AF_INET6], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;
	int fd;

	if (received < 0)
		return -errno;
	if (received == 0)
		return -EAFNOSUPPORT;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -EMFILE;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}
