// SPDX-License-Identifier: BSD-2-Clause
/* Removes a request of our own: see removal_proof.h. Owns nothing. Main thread, at start-up. */
#include "steering/removal_proof.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/descriptor.h"
#include "steering/endpoint.h"
#include "steering/server_socket.h"
#include "system/capabilities.h"

#define PATIENCE_MS   200 /* loopback takes microseconds */
#define DEFER_SECONDS 5

static struct address loopback(int family)
{
	struct in6_addr host = IN6ADDR_LOOPBACK_INIT;

	return family == AF_INET ? address_v4(INADDR_LOOPBACK, 0) : address_v6(&host, 0);
}

static bool get_end(int fd, struct address *end)
{
	*end = (struct address){.len = sizeof(end->in6)};
	return getsockname(fd, &end->sa, &end->len) == 0;
}

/* A listener that leaves the handshake unfinished until there is a byte to read. */
static int open_listener(int family, struct address *at)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), seconds = DEFER_SECONDS, error;

	if (fd < 0)
		return -errno;
	*at = loopback(family);
	if (setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)) == 0 &&
	    bind(fd, &at->sa, at->len) == 0 && listen(fd, 1) == 0 && get_end(fd, at))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Its client. */
static int open_client(const struct address *to, struct address *at)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), result = 0;
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t length = sizeof(result);

	if (fd < 0)
		return -errno;
	if (connect(fd, &to->sa, to->len) && errno != EINPROGRESS)
		result = errno;
	else if (poll(&wait, 1, PATIENCE_MS) != 1)
		result = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &length);
	if (!result && get_end(fd, at))
		return fd;
	close(fd);
	return result ? -result : -errno;
}

static int remove_request(int diag, const struct steer_connection *ends, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	uint32_t device = if_nametoindex("lo");
	struct server_socket found;
	int error = server_socket_find(diag, ends, device, &found);

	if (error)
		return sentence_error(
			why, error,
			"the kernel does not show connections to SOCK_DIAG: %s; it needs CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG",
			strerror(-error));
	error = server_socket_destroy(diag, ends, device, &found);
	if (error == -EOPNOTSUPP)
		return sentence_error(why, error, "the kernel lacks SOCK_DESTROY; it needs CONFIG_INET_DIAG_DESTROY");
	if (error)
		return sentence_error(why, error, "SOCK_DESTROY: %s",
				      capabilities_strerror(error, CAPABILITY(CAP_NET_ADMIN), text, sizeof(text)));
	if (server_socket_find(diag, ends, device, &found) != -ENOENT)
		return sentence_error(why, -EEXIST, "SOCK_DESTROY left a connection of our own as it was");
	return 0;
}

int removal_prove(int diag, int family, struct sentence *why)
{
	struct steer_connection ends;
	struct address from = {0}, to = {0};
	int client = NO_DESCRIPTOR, listener = open_listener(family, &to), error;

	if (listener == -EAFNOSUPPORT || listener == -EADDRNOTAVAIL)
		return 0;
	if (listener >= 0)
		client = open_client(&to, &from);
	error = listener < 0 ? listener : client;
	if (error < 0) {
		sentence_set(why, "SOCK_DESTROY could not be tried: a connection over loopback failed: %s",
			     strerror(-error));
		error = -EAGAIN;
	} else {
		ends = (struct steer_connection){.from = steer_endpoint_from(&from), .to = steer_endpoint_from(&to)};
		error = remove_request(diag, &ends, why);
	}
	descriptor_close(&client);
	descriptor_close(&listener);
	return error;
}
