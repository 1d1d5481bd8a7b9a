/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks at the machine for check and attach: capabilities, ports and who holds them, backends, descriptor limits. Owns
 * no state; opens files and sockets only within a call. Start-up code: may block for a moment, never on the data path.
 */
#include "system/ports.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system/activation.h"
#include "system/capabilities.h"
#include "system/listening.h"
#include "steering.h"

#define HOLDERS_MAX     16 /* listening sockets looked up for one port */
#define RESERVE_PROCESS 40 /* stdio, maps, program, signals, notification, the control socket and its clients */
#define RESERVE_STEER   24 /* programs, maps and links of the steering, the lock */
#define RESERVE_WORKER  6  /* epoll, wake-up, ring and its epoll, the connection turned away, one to spare */

static unsigned int first_unprivileged_port(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	unsigned int first = 1024;

	if (file) {
		if (fscanf(file, "%u", &first) != 1)
			first = 1024;
		fclose(file);
	}
	return first;
}

uint64_t diagnose_capabilities_listen(const struct options *options)
{
	unsigned int first = first_unprivileged_port();

	for (unsigned int i = 0; !options->activated && i < options->listener_count; i++)
		if (!options->in_place[i] && address_port(&options->listeners[i]) < first)
			return CAPABILITY(CAP_NET_BIND_SERVICE);
	return 0;
}

uint64_t diagnose_capabilities_take_over(const struct options *options)
{
	unsigned int first = first_unprivileged_port();

	for (unsigned int i = 0; i < options->listener_count; i++)
		if (address_port(&options->listeners[i]) < first)
			return CAPABILITY(CAP_NET_BIND_SERVICE);
	return 0;
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
	return IN6_ARE_ADDR_EQUAL(&plain.in6.sin6_addr, &wanted->in6.sin6_addr); /* the scope is not in /proc */
}

/* Adds the inodes of the listening sockets in the way of `wanted`; returns their new count. */
static unsigned int find_listeners(unsigned long inodes[HOLDERS_MAX], unsigned int count, const char *path,
				   const struct address *wanted)
{
	FILE *file = fopen(path, "re");
	unsigned long inode;
	struct address held;

	if (!file)
		return count;
	while (count < HOLDERS_MAX && listening_next(file, &held, &inode))
		if (inode && conflicts(&held, wanted))
			inodes[count++] = inode;
	fclose(file);
	return count;
}

static bool process_holds(const char *pid, const unsigned long *inodes, unsigned int count)
{
	char path[PATH_MAX], link[64];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!found && (entry = readdir(fds))) {
		unsigned long inode;
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

		if (length <= 0)
			continue;
		link[length] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) != 1)
			continue;
		for (unsigned int i = 0; i < count; i++)
			found = found || inodes[i] == inode;
	}
	closedir(fds);
	return found;
}

static void describe_process(const char *pid, char *out, size_t size)
{
	char path[PATH_MAX], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (!fgets(name, sizeof(name), file))
			name[0] = '\0';
		fclose(file);
	}
	name[strcspn(name, "\n")] = '\0';
	for (char *c = name; *c; c++) /* a process names itself; a terminal should not obey it */
		if (!isprint((unsigned char)*c))
			*c = '?';
	snprintf(out, size, "%s (pid %s)", *name ? name : "a process", pid);
}

void diagnose_process(unsigned int pid, char *out, size_t size)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", pid);
	describe_process(text, out, size);
}

/* The inodes of all listening sockets in the way of `address`. */
static unsigned int find_holders(unsigned long inodes[HOLDERS_MAX], const struct address *address)
{
	struct address wanted = address_unmapped(address);
	unsigned int count = 0;

	if (wanted.sa.sa_family == AF_INET)
		count = find_listeners(inodes, count, "/proc/net/tcp", &wanted);
	return find_listeners(inodes, count, "/proc/net/tcp6", &wanted);
}

bool diagnose_port_taken(const struct address *address)
{
	unsigned long inodes[HOLDERS_MAX];

	return find_holders(inodes, address) > 0;
}

int diagnose_port_holder(const struct address *address, char *out, size_t size)
{
	unsigned long inodes[HOLDERS_MAX];
	unsigned int count;
	struct dirent *entry;
	int result = -1;
	DIR *proc;

	snprintf(out, size, "a process of another user or namespace");
	count = find_holders(inodes, address);
	if (count == 0)
		return -1;
	proc = opendir("/proc");
	if (!proc)
		return -1;
	/* In the order of process numbers: a server's master comes before the workers that inherited its socket. */
	while (result && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || !process_holds(entry->d_name, inodes, count))
			continue;
		describe_process(entry->d_name, out, size);
		result = 0;
	}
	closedir(proc);
	return result;
}

const char *diagnose_bind_error(const struct address *address, int error, char *out, size_t size)
{
	char holder[DIAGNOSE_TEXT_MAX / 2];

	switch (error) {
	case EADDRINUSE:
		diagnose_port_holder(address, holder, sizeof(holder));
		snprintf(out, size, "port %u is held by %s; stop it or move it to another port", address_port(address),
			 holder);
		break;
	case EACCES:
		snprintf(out, size,
			 "port %u needs CAP_NET_BIND_SERVICE, or a lower sysctl net.ipv4.ip_unprivileged_port_start",
			 address_port(address));
		break;
	case EADDRNOTAVAIL:
		snprintf(out, size, "this machine does not have the address");
		break;
	case EAFNOSUPPORT:
		snprintf(out, size, "this machine has no %s", address->sa.sa_family == AF_INET6 ? "IPv6" : "IPv4");
		break;
	default:
		snprintf(out, size, "%s", strerror(error));
	}
	return out;
}

int diagnose_bind(const struct address *address, char *out, size_t size)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error = 0;

	/* Without SO_REUSEPORT, unlike attach: an alpnbpf that runs already is to be seen. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (address->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, &address->sa, address->len))
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error)
		diagnose_bind_error(address, error, out, size);
	return -error;
}

/* A loopback port nobody listens on can be the very port the kernel picks for us; TCP then connects to itself. */
static bool connected_to_itself(int fd)
{
	struct address own = {.len = sizeof(own.in6)}, other = {.len = sizeof(other.in6)};

	return getsockname(fd, &own.sa, &own.len) == 0 && getpeername(fd, &other.sa, &other.len) == 0 &&
	       own.sa.sa_family != AF_UNIX && address_equal(&own, &other);
}

int diagnose_connect(const struct address *address, unsigned int timeout_ms)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0, ready;
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t length = sizeof(error);

	if (fd < 0)
		return -errno;
	if (connect(fd, &address->sa, address->len))
		error = errno;
	if (error == EINPROGRESS) {
		do
			ready = poll(&wait, 1, (int)timeout_ms);
		while (ready < 0 && errno == EINTR);
		if (ready == 0)
			error = ETIMEDOUT;
		else if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length))
			error = errno;
	}
	if (!error && connected_to_itself(fd))
		error = ECONNREFUSED;
	close(fd);
	return -error;
}

unsigned int diagnose_workers(const struct options *options)
{
	cpu_set_t set;

	if (options->workers)
		return options->workers;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned int)CPU_COUNT(&set);
	return 1;
}

unsigned int diagnose_descriptor_reserve(const struct options *options)
{
	unsigned int listeners = options->listener_count - options->in_place_count, process = RESERVE_PROCESS;

	if (options->in_place_count)
		listeners += STEER_FAMILIES;
	if (options->in_place_count || options->bypass || options->client_address == CLIENT_ADDRESS_PEERNAME)
		process += RESERVE_STEER;
	if (options->activated) /* each worker has a copy of its own as well */
		process += options->activated->count;
	return process + diagnose_workers(options) * (RESERVE_WORKER + listeners);
}

unsigned int diagnose_session_limit(const struct options *options, rlim_t nofile)
{
	rlim_t reserve = diagnose_descriptor_reserve(options);

	if (nofile <= reserve)
		return 0;
	if ((nofile - reserve) / 2 > UINT_MAX)
		return UINT_MAX;
	return (unsigned int)((nofile - reserve) / 2);
}

rlim_t diagnose_descriptors_needed(const struct options *options, unsigned int sessions)
{
	return diagnose_descriptor_reserve(options) + 2 * (rlim_t)sessions;
}

bool diagnose_kernel_too_old(const char *release, const char *version, char *name, size_t size)
{
	/* "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)" */
	const char *debian = strstr(version, "Debian ");
	unsigned int major = 0, minor = 0, patch = 0;

	if (debian && isdigit((unsigned char)debian[strlen("Debian ")]))
		release = debian + strlen("Debian ");
	snprintf(name, size, "%.*s", (int)strcspn(release, " "), release);
	if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2)
		return false;
	if (major != 6)
		return major < 6;
	if (minor == 1)
		return patch < 142;
	if (minor == 12)
		return patch < 35;
	return minor <
	       16; /* 6.16 is newer than both fixes; the series between ended without them, or were not looked at */
}
