// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads the listening sockets that the service manager passed. Owns the list of them: the main thread writes it once,
 * at start-up; after that a reload's thread may read it.
 */
#include "system/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static int option_of(int fd, int level, int option)
{
	socklen_t length = sizeof(int);
	int value = -1;

	return getsockopt(fd, level, option, &value, &length) ? -1 : value;
}

/* What is wrong with the socket; NULL if nothing is. */
static const char *socket_fault(int fd, struct address *address)
{
	address->len = sizeof(address->in6);
	if (option_of(fd, SOL_SOCKET, SO_TYPE) < 0)
		return "not a socket";
	if (option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return "not a stream socket (ListenStream= makes one)";
	if (getsockname(fd, &address->sa, &address->len) ||
	    (address->sa.sa_family != AF_INET && address->sa.sa_family != AF_INET6))
		return "neither IPv4 nor IPv6";
	if (option_of(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		return "not TCP (remove SocketProtocol= from the socket unit)";
	if (option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return "not listening (set Accept=no in the socket unit)";
	return NULL;
}

static bool add_socket(struct activation *activation, int fd, struct sentence *why)
{
	struct address address;
	const char *wrong = socket_fault(fd, &address);
	int flags = fcntl(fd, F_GETFL);

	if (!wrong && (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK)))
		wrong = strerror(errno);
	if (wrong)
		return sentence_refuse(why, "LISTEN_FDS: cannot use descriptor %d: %s", fd, wrong);
	activation->sockets[activation->count].fd = fd;
	activation->sockets[activation->count].address = address;
	activation->sockets[activation->count++].dual_stack = address.sa.sa_family == AF_INET6 &&
							      address_is_wildcard(&address) &&
							      option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
	return true;
}

const struct activation *activation_get(struct sentence *why)
{
	static struct activation activation;
	static bool looked;
	uint64_t count = text_number(getenv("LISTEN_FDS"));

	if (looked)
		return &activation;
	/* Meant for a parent process, which did not clear the variables. */
	if (text_number(getenv("LISTEN_PID")) != (uint64_t)getpid() || !count) {
		looked = true;
		return &activation;
	}
	for (uint64_t i = 0; i < count && fcntl((int)(FIRST_FD + i), F_SETFD, FD_CLOEXEC) == 0; i++)
		; /* all of them, refused ones too: the command must inherit none */
	if (count > ACTIVATION_MAX) {
		sentence_set(why, "LISTEN_FDS: %" PRIu64 " sockets are too many; the limit is %d", count,
			     ACTIVATION_MAX);
		return NULL;
	}
	for (int i = 0; i < (int)count; i++)
		if (!add_socket(&activation, FIRST_FD + i, why))
			return NULL;
	looked = true;
	return &activation;
}

static bool contains_address(const struct address *list, unsigned int count, const struct address *address)
{
	for (unsigned int i = 0; i < count; i++)
		if (address_equal(&list[i], address))
			return true;
	return false;
}

bool activation_replace(const struct activation *activation, struct address *listeners, unsigned int *count,
			struct sentence *why)
{
	struct address given[2 * ACTIVATION_MAX];
	unsigned int given_count = 0;
	char name[ADDRESS_TEXT_MAX];

	for (unsigned int i = 0; i < activation->count; i++) {
		given[given_count++] = activation->sockets[i].address;
		if (activation->sockets[i].dual_stack)
			given[given_count++] =
				address_v4(INADDR_ANY, (uint16_t)address_port(&activation->sockets[i].address));
	}
	for (unsigned int i = 0; i < *count; i++) {
		if (contains_address(given, given_count, &listeners[i]))
			continue;
		return sentence_refuse(
			why,
			"--listen: the service manager passed sockets (LISTEN_FDS), and none of them listens on %s; "
			"leave out --listen, or change the socket unit",
			address_format(&listeners[i], name, sizeof(name)));
	}
	for (unsigned int i = 0; *count && i < given_count; i++) {
		if (contains_address(listeners, *count, &given[i]))
			continue;
		return sentence_refuse(
			why,
			"--listen: the service manager passed a socket (LISTEN_FDS) that listens on %s, which --listen does "
			"not name; leave out --listen, or change the socket unit",
			address_format(&given[i], name, sizeof(name)));
	}
	memcpy(listeners, given, given_count * sizeof(*given));
	*count = given_count;
	return true;
}
