// SPDX-License-Identifier: BSD-2-Clause
/*
 * Listening sockets, from opening to closing. Each worker owns its own: the main thread opens them, before the worker
 * runs or for it to take over; after that only the worker's thread uses them.
 */
#include "engine/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "engine/accept.h"
#include "engine/socket_options.h"
#include "engine/worker.h"
#include "options/changes.h"
#include "steering/watch.h"
#include "system/ports.h"

#define BACKLOG 4096 /* the kernel limits it to net.core.somaxconn */

/* --- opening --- */

static int bind_and_listen(int fd, const struct options *options, const struct address *address)
{
	int on = 1, error;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
	    (address->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))))
		return -errno;
	error = socket_set_client_options(fd, options);
	if (!error)
		error = socket_set_defer_accept(fd, options);
	if (error)
		return error;
	return bind(fd, &address->sa, address->len) || listen(fd, BACKLOG) ? -errno : 0;
}

/* The socket, or -errno. */
static int open_socket(const struct steer *steer, const struct options *options, const struct address *address)
{
	/* IPPROTO_TCP is explicit, because an MPTCP socket cannot be in a sockmap. */
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), error;

	if (fd < 0)
		return -errno;
	error = bind_and_listen(fd, options, address);
	if (!error)
		error = hello_watch_own(&steer->watch, fd);
	if (!error)
		return fd;
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

/* Adds a listener to a worker that does not run yet. */
static void add_listener(struct worker *worker, const struct listener *listener)
{
	worker->accepting.listeners[worker->accepting.count++] = *listener;
}

int listener_open(struct worker *worker, const struct address *address, struct sentence *why)
{
	struct listener listener;
	int error = listener_prepare(&listener, &worker->engine->steer, &worker->configuration->options, address, why);

	if (!error)
		add_listener(worker, &listener);
	return error;
}

/* Sets the options of a passed socket, except those that the socket unit has set. */
static int take_inherited(const struct worker *worker, int fd)
{
	const struct options *options = &worker->configuration->options;
	socklen_t length = sizeof(int);
	int deferred = 0, error = socket_set_client_options(fd, options);

	if (!error && getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferred, &length) == 0 && !deferred)
		error = socket_set_defer_accept(fd, options);
	return error ? error : hello_watch_own(&worker->engine->steer.watch, fd);
}

int listener_share(struct worker *worker, int from, const struct address *address, struct sentence *why)
{
	/* Each worker has its own descriptor, so that it can close it independently. */
	int fd = fcntl(from, F_DUPFD_CLOEXEC, 0), error = fd < 0 ? -errno : take_inherited(worker, fd);

	if (!error) {
		add_listener(worker, &(struct listener){.fd = fd, .address = *address, .shared = true});
		return 0;
	}
	descriptor_close(&fd);
	return sentence_error(why, error, "cannot use descriptor %d of LISTEN_FDS: %s", from, strerror(-error));
}

int listener_open_private(struct worker *worker, enum steer_family family, struct sentence *why)
{
	unsigned int *port = &worker->engine->private_ports[family];
	struct address address = family == STEER_V4 ? address_v4(INADDR_LOOPBACK, (uint16_t)*port)
						    : address_v6(&in6addr_loopback, (uint16_t)*port);
	int fd = open_socket(&worker->engine->steer, &worker->configuration->options, &address), error = 0;

	if (fd < 0)
		error = fd;
	else if (getsockname(fd, &address.sa, &address.len))
		error = -errno;
	else
		error = steer_set_private(&worker->engine->steer, worker->index, family, fd);
	if (!error) {
		*port = address_port(&address);
		socket_set_transparent(fd, address.sa.sa_family);
		add_listener(worker, &(struct listener){.fd = fd, .address = address, .in_place = true});
		return 0;
	}
	if (fd >= 0)
		close(fd);
	return sentence_error(why, error, "cannot create the private listener for %s: %s",
			      family == STEER_V4 ? "IPv4" : "IPv6", strerror(-error));
}

/* --- changing and closing --- */

/* The listener is out of the epoll set. Serves the connections that wait first; those of a shared one stay. */
static void close_listener(struct worker *worker, struct listener *listener)
{
	for (int taken = 0; taken < BACKLOG && !listener->shared; taken++)
		if (!accept_one(worker, listener))
			break;
	close(listener->fd);
}

/* Keeps the listeners that the new configuration has too, closes the others, and adds the new ones. */
static void replace_listeners(struct worker *worker, struct configuration *configuration)
{
	struct listener *opened = configuration->opened + (size_t)worker->index * configuration->opened_count;
	struct accepting *accepting = &worker->accepting;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < accepting->count; i++) {
		struct listener listener = accepting->listeners[i];

		if (listener.in_place || options_has_listener(&configuration->options, &listener.address))
			accepting->listeners[kept++] = listener;
		else
			close_listener(worker, &listener);
	}
	for (unsigned int i = 0; i < configuration->opened_count; i++) {
		if (opened[i].fd == NO_DESCRIPTOR)
			continue;
		accepting->listeners[kept++] = opened[i];
		opened[i].fd = NO_DESCRIPTOR;
	}
	accepting->count = kept;
}

void listener_change(struct worker *worker, struct configuration *configuration)
{
	const struct options *old = &worker->configuration->options, *new = &configuration->options;

	worker_pause_accept(worker, 0);
	replace_listeners(worker, configuration);
	for (unsigned int i = 0; i < worker->accepting.count; i++) {
		const struct listener *listener = &worker->accepting.listeners[i];

		if (!listener->shared) /* the socket unit decides that */
			socket_set_defer_accept(listener->fd, new);
		socket_change_buffers(listener->fd, old, new, configuration->buffers_can_grow);
	}
	if (!timer_is_set(&worker->accepting.timer))
		worker_resume_accept(worker);
}

void listener_close_all(struct worker *worker)
{
	worker_pause_accept(worker, 0); /* out of the epoll set before the descriptors are reused */
	for (unsigned int i = 0; i < worker->accepting.count; i++)
		close_listener(worker, &worker->accepting.listeners[i]);
	worker->accepting.count = 0;
	worker->accepting.over = true;
	timer_cancel(&worker->timers, &worker->accepting.timer);
}
