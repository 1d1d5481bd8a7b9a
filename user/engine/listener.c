// SPDX-License-Identifier: BSD-2-Clause
/*
 * Listening sockets, from their opening to their end. Each worker owns its own: they are opened by the main thread,
 * before the worker runs or for it to take over, then its thread alone touches them.
 */
#include "engine/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/ports.h"
#include "steering/watch.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "engine/accept.h"
#include "engine/socket_options.h"
#include "engine/worker.h"
#include "options/changes.h"

#define BACKLOG 4096 /* the kernel takes the smaller of this and net.core.somaxconn */

static int open_socket(const struct steer *steer, const struct options *options, const struct address *address)
{
	int on = 1, error;
	/* IPPROTO_TCP by name: a socket that could be MPTCP cannot be in a sockmap. */
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) || socket_set_client_options(fd, options) ||
	    (address->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    socket_set_defer_accept(fd, options))
		goto fail;
	if (bind(fd, &address->sa, address->len) || listen(fd, BACKLOG))
		goto fail;
	error = hello_watch_own(steer, fd);
	if (error)
		goto close;
	return fd;
fail:
	error = -errno;
close:
	close(fd);
	return error;
}

int listener_prepare(struct listener *listener, const struct steer *steer, const struct options *options,
		     const struct address *address, struct sentence *why)
{
	char name[ADDRESS_TEXT_MAX];
	int fd = open_socket(steer, options, address);

	if (fd < 0) {
		port_explain(address, fd, why);
		return sentence_error(why, fd, "cannot listen on %s: %s", address_format(address, name, sizeof(name)),
				      why->text);
	}
	*listener = (struct listener){.fd = fd, .address = *address};
	return 0;
}

int listener_open(struct worker *worker, const struct address *address, struct sentence *why)
{
	int error = listener_prepare(&worker->accepting.listeners[worker->accepting.count], &worker->engine->steer,
				     &worker->configuration->options, address, why);

	if (!error)
		worker->accepting.count++;
	return error;
}

int listener_share(struct worker *worker, int from, const struct address *address, struct sentence *why)
{
	const struct options *options = &worker->configuration->options;
	socklen_t length = sizeof(int);
	int deferred = 0, error, fd;

	/* A descriptor of its own, so that each worker can close its listeners whatever the others do. */
	fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && socket_set_client_options(fd, options) == 0 &&
	    (getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferred, &length) || deferred ||
	     socket_set_defer_accept(fd, options) == 0) &&
	    hello_watch_own(&worker->engine->steer, fd) == 0) {
		worker->accepting.listeners[worker->accepting.count++] =
			(struct listener){.fd = fd, .address = *address, .shared = true};
		return 0;
	}
	error = -errno;
	if (fd >= 0)
		close(fd);
	return sentence_error(why, error, "cannot use descriptor %d of LISTEN_FDS: %s", from, strerror(-error));
}

int listener_open_private(struct worker *worker, enum steer_family family, struct sentence *why)
{
	unsigned int *port = &worker->engine->private_ports[family];
	struct address address = {.len = sizeof(address.in)};
	int fd, error = 0;

	if (family == STEER_V4) {
		address.in.sin_family = AF_INET;
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.in.sin_port = htons((uint16_t)*port);
	} else {
		address.len = sizeof(address.in6);
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_addr = in6addr_loopback;
		address.in6.sin6_port = htons((uint16_t)*port);
	}
	fd = open_socket(&worker->engine->steer, &worker->configuration->options, &address);
	if (fd < 0)
		error = fd;
	else if (getsockname(fd, &address.sa, &address.len))
		error = -errno;
	else
		error = steer_set_private(&worker->engine->steer, worker->index, family, fd);
	if (error) {
		if (fd >= 0)
			close(fd);
		return sentence_error(why, error, "cannot make the private listener for %s: %s",
				      family == STEER_V4 ? "IPv4" : "IPv6", strerror(-error));
	}
	*port = address_port(&address);
	worker->accepting.listeners[worker->accepting.count++] =
		(struct listener){.fd = fd, .address = address, .in_place = true};
	return 0;
}

/* After what waits there. It is out of the epoll set. */
static void close_listener(struct worker *worker, struct listener *listener)
{
	/* What waits in a shared one the service manager keeps for the next of us. */
	for (int taken = 0; taken < BACKLOG && worker->slots.free_count && !listener->shared; taken++)
		if (!accept_one(worker, listener))
			break;
	close(listener->fd);
}

void listener_change(struct worker *worker, struct configuration *configuration)
{
	const struct options *options = &configuration->options;
	struct listener *opened = configuration->opened + (size_t)worker->index * configuration->opened_count;
	unsigned int kept = 0;

	worker_pause_accept(worker, 0);
	for (unsigned int i = 0; i < worker->accepting.count; i++) {
		struct listener listener = worker->accepting.listeners[i];

		if (listener.in_place || options_has_listener(options, &listener.address))
			worker->accepting.listeners[kept++] = listener;
		else
			close_listener(worker, &listener);
	}
	for (unsigned int i = 0; i < configuration->opened_count; i++)
		if (opened[i].fd >= 0) {
			worker->accepting.listeners[kept++] = opened[i];
			opened[i].fd = NO_DESCRIPTOR;
		}
	worker->accepting.count = kept;
	for (unsigned int i = 0; i < kept; i++) {
		if (!worker->accepting.listeners[i].shared) /* there the socket unit says it */
			socket_set_defer_accept(worker->accepting.listeners[i].fd, options);
		socket_change_buffers(worker->accepting.listeners[i].fd, &worker->configuration->options, options);
	}
	if (!timer_is_set(&worker->accepting.timer))
		worker_resume_accept(worker);
}

void listener_close_all(struct worker *worker)
{
	worker_pause_accept(worker, 0); /* out of the epoll set before their numbers belong to others */
	for (unsigned int i = 0; i < worker->accepting.count; i++)
		close_listener(worker, &worker->accepting.listeners[i]);
	worker->accepting.count = 0;
	worker->accepting.over = true;
	timer_cancel(&worker->timers, &worker->accepting.timer);
}
