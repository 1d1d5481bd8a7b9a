// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ports of this machine: see ports.h. Owns the range of ephemeral ports, which is read once. Main thread, except for
 * port_connected_to_itself().
 */
#include "system/ports.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "system/listening.h"
#include "system/process.h"
#include "system/sysctl.h"

#define HOLDERS_MAX 64 /* of one port, that are looked at */

unsigned int port_first_unprivileged(void)
{
	return sysctl_number("net/ipv4/ip_unprivileged_port_start", 1024);
}

/* Could a listener at `held` keep us from binding `wanted`? A [::] without V6ONLY holds IPv4 ports too. */
static bool conflicts(const struct address *held, const struct address *wanted)
{
	struct address plain = address_unmapped(held);

	if (address_port(&plain) != address_port(wanted))
		return false;
	if (plain.sa.sa_family != wanted->sa.sa_family)
		return plain.sa.sa_family == AF_INET6 && address_is_wildcard(&plain);
	if (address_is_wildcard(&plain) || address_is_wildcard(wanted))
		return true;
	if (plain.sa.sa_family == AF_INET)
		return plain.in.sin_addr.s_addr == wanted->in.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&plain.in6.sin6_addr, &wanted->in6.sin6_addr); /* the scope is unknown */
}

/* The inodes of the listening sockets that keep us from binding `address`. */
static unsigned int find_holders(unsigned long inodes[HOLDERS_MAX], const struct address *address)
{
	struct address wanted = address_unmapped(address);
	struct listening listeners[HOLDERS_MAX];
	int found = listening_on(address_port(&wanted), listeners, HOLDERS_MAX);
	unsigned int count = 0;

	for (int i = 0; i < found && i < HOLDERS_MAX; i++)
		if (listeners[i].inode && conflicts(&listeners[i].address, &wanted))
			inodes[count++] = listeners[i].inode;
	return count;
}

bool port_is_taken(const struct address *address)
{
	unsigned long inodes[HOLDERS_MAX];

	return find_holders(inodes, address) > 0;
}

bool port_find_holder(const struct address *address, char *out, size_t size)
{
	unsigned long inodes[HOLDERS_MAX];

	if (process_find_holder(inodes, find_holders(inodes, address), out, size))
		return true;
	snprintf(out, size, "a process of another user or namespace");
	return false;
}

bool port_is_published(const char *holder)
{
	static const char *const engines[] = {"docker-proxy (", "conmon ("};

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (strncmp(holder, engines[i], strlen(engines[i])) == 0)
			return true;
	return false;
}

int port_explain(const struct address *address, int error, struct sentence *why)
{
	char holder[PROCESS_TEXT_MAX];

	switch (error) {
	case -EADDRINUSE:
		port_find_holder(address, holder, sizeof(holder));
		return sentence_error(why, error, "port %u is in use by %s; stop it or move it to another port",
				      address_port(address), holder);
	case -EACCES:
		return sentence_error(
			why, error,
			"port %u needs CAP_NET_BIND_SERVICE, or a lower net.ipv4.ip_unprivileged_port_start (sysctl)",
			address_port(address));
	case -EADDRNOTAVAIL:
		return sentence_error(why, error, "the address is not assigned to this machine");
	case -EAFNOSUPPORT:
		return sentence_error(why, error, "this machine has no %s",
				      address->sa.sa_family == AF_INET6 ? "IPv6" : "IPv4");
	default:
		return sentence_error(why, error, "%s", strerror(-error));
	}
}

int port_try_bind(const struct address *address, struct sentence *why)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error = 0;

	/* Without SO_REUSEPORT, unlike attach, so that an alpnbpf that already runs counts as a holder. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (address->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, &address->sa, address->len))
		error = -errno;
	if (fd >= 0)
		close(fd);
	return error ? port_explain(address, error, why) : 0;
}

static unsigned int ephemeral_from = 32768, ephemeral_to = 60999; /* the kernel's defaults */

static void read_ephemeral_range(void)
{
	unsigned int from, to;
	char text[64];

	if (!sysctl_text("net/ipv4/ip_local_port_range", text, sizeof(text)) || sscanf(text, "%u %u", &from, &to) != 2)
		return;
	ephemeral_from = from;
	ephemeral_to = to;
}

bool port_connected_to_itself(int fd, const struct address *address)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct address own = {.len = sizeof(own.in6)};
	unsigned int port = address_port(address);

	pthread_once(&once, read_ephemeral_range);
	if (port < ephemeral_from || port > ephemeral_to)
		return false;
	return getsockname(fd, &own.sa, &own.len) == 0 && address_equal(&own, address);
}

int port_try_connect(const struct address *address, unsigned int timeout_ms)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), pending = 0, error,
	    ready;
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t length = sizeof(pending);

	if (fd < 0)
		return -errno;
	error = connect(fd, &address->sa, address->len) ? -errno : 0;
	if (error == -EINPROGRESS) {
		do
			ready = poll(&wait, 1, (int)timeout_ms);
		while (ready < 0 && errno == EINTR);
		if (ready == 0)
			error = -ETIMEDOUT;
		else if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length))
			error = -errno;
		else
			error = -pending;
	}
	if (!error && port_connected_to_itself(fd, address))
		error = -ECONNREFUSED;
	close(fd);
	return error;
}
