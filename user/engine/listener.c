// SPDX-License-Identifier: BSD-2-Clause
/*
 * Listening sockets: options that sessions inherit, accepting, backing off when descriptors or slots run out. Owned by
 * one worker each.
 */
#include "engine/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/ports.h"
#include "system/sysctl.h"
#include "steering/watch.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "engine/worker.h"
#include "options/changes.h"

#define BACKLOG        4096 /* the kernel takes the smaller of this and net.core.somaxconn */
#define ACCEPT_AT_ONCE 64   /* connections a worker takes before it looks at its sessions again */
#define ACCEPT_OFF_US  (100 * MS)
#define BUFFER_LEAST   (32U * 1024)
/*
 * Loopback's segments are 64 KiB: a sender waits 200 ms for its persist timer when the window is open, but not that far
 * (docs/KERNEL.md 6b). Larger ones than this cost a little less CPU, and with small buffers stalled now and then.
 */
#define SEGMENT_MOST 8192

static void set_buffer(int fd, int option, int forced, unsigned int bytes)
{
	int half = (int)(bytes / 2); /* the kernel doubles it */

	/* The forced one needs CAP_NET_ADMIN, which only listeners meet; without it net.core.{r,w}mem_max is the limit,
	 * which is a bound as well.
	 */
	if (setsockopt(fd, SOL_SOCKET, forced, &half, sizeof(half)))
		setsockopt(fd, SOL_SOCKET, option, &half, sizeof(half));
}

/* Far clients need bytes in flight, backends are near: three quarters of a flow's bytes are on the client's side. */
unsigned int socket_buffer_share(enum side side, unsigned int buffer_bytes)
{
	unsigned int near = buffer_bytes / 4 > BUFFER_LEAST ? buffer_bytes / 4 : BUFFER_LEAST;

	return side == CLIENT ? buffer_bytes - near : near;
}

void socket_set_buffers(int fd, enum side side, const struct options *options)
{
	unsigned int share = socket_buffer_share(side, options->buffer_bytes);
	int segment = SEGMENT_MOST;

	set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, share);
	/* Not TCP_WINDOW_CLAMP: the kernel sets that anew from this buffer whenever segments change their size. */
	set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, share);
	if (options->dataplane != DATAPLANE_USER)
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
}

static int set_defer_accept(int fd, const struct options *options)
{
	int defer = (int)(options->hello_timeout_ms / 1000);

	if (defer < 1)
		defer = 1;
	if (!options->defer_accept)
		defer = 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer)) ? -errno : 0;
}

/* What accepted sockets inherit. */
int socket_set_client_options(int fd, const struct options *options)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on))) /* as the verdict forwards urgent bytes */
		return -1;
	socket_set_buffers(fd, CLIENT, options);
	return 0;
}

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
	    set_defer_accept(fd, options))
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
		     const struct address *address, char *error, size_t error_size)
{
	char name[ADDRESS_TEXT_MAX];
	struct sentence why;
	int fd = open_socket(steer, options, address);

	if (fd < 0) {
		port_explain(address, fd, &why);
		snprintf(error, error_size, "cannot listen on %s: %s", address_format(address, name, sizeof(name)),
			 why.text);
		return fd;
	}
	*listener = (struct listener){.fd = fd, .address = *address};
	return 0;
}

int listener_open(struct worker *worker, const struct address *address, char *error, size_t error_size)
{
	int result = listener_prepare(&worker->listeners[worker->listener_count], &worker->engine->steer,
				      &worker->configuration->options, address, error, error_size);

	if (!result)
		worker->listener_count++;
	return result;
}

int listener_share(struct worker *worker, int from, const struct address *address, char *error, size_t error_size)
{
	const struct options *options = &worker->configuration->options;
	socklen_t length = sizeof(int);
	int deferred = 0, failed, fd;

	/* A descriptor of its own, so that each worker can close its listeners whatever the others do. */
	fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && socket_set_client_options(fd, options) == 0 &&
	    (getsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferred, &length) || deferred ||
	     set_defer_accept(fd, options) == 0) &&
	    hello_watch_own(&worker->engine->steer, fd) == 0) {
		worker->listeners[worker->listener_count++] =
			(struct listener){.fd = fd, .address = *address, .shared = true};
		return 0;
	}
	failed = -errno;
	snprintf(error, error_size, "cannot use descriptor %d of LISTEN_FDS: %s", from, strerror(-failed));
	if (fd >= 0)
		close(fd);
	return failed;
}

int listener_open_private(struct worker *worker, enum steer_family family, char *error, size_t error_size)
{
	unsigned int *port = &worker->engine->private_ports[family];
	struct address address = {.len = sizeof(address.in)};
	int fd, failed = 0;

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
		failed = fd;
	else if (getsockname(fd, &address.sa, &address.len))
		failed = -errno;
	else
		failed = steer_set_private(&worker->engine->steer, worker->index, family, fd);
	if (failed) {
		snprintf(error, error_size, "cannot make the private listener for %s: %s",
			 family == STEER_V4 ? "IPv4" : "IPv6", strerror(-failed));
		if (fd >= 0)
			close(fd);
		return failed;
	}
	*port = address_port(&address);
	worker->listeners[worker->listener_count++] = (struct listener){.fd = fd, .address = address, .in_place = true};
	return 0;
}

/* A connection the worker will not serve: a reset tells the client at once. */
static void turn_away(int fd)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void log_source_refused(struct worker *worker, const struct address *client)
{
	static struct log_limit limit;
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	worker->counters.source_refused++;
	if (log_limit_pass(&limit, &suppressed))
		log_warn("refused %s: its source has --max-per-source %u sessions already (%lu more refused since)",
			 address_format(client, name, sizeof(name)), worker->configuration->options.max_per_source,
			 suppressed);
}

/*
 * Where the client connected to, in place. Only connections that were steered have the web server's port there; who
 * finds the private port and connects to it would be sent on to itself.
 */
static bool destination_of(struct worker *worker, int fd, struct address *destination)
{
	const struct endpoint *https = &worker->configuration->options.backends[ROUTE_HTTPS];

	destination->len = sizeof(destination->in6);
	return getsockname(fd, &destination->sa, &destination->len) == 0 &&
	       address_port(destination) == address_port(&https->addresses[0]);
}

/* accept() failed: with what only time can mend, wait instead of asking again and again. */
static void back_off(struct worker *worker, int error)
{
	static struct log_limit limit;
	unsigned long suppressed;

	worker->counters.accept_backoffs++;
	worker_pause_accept(worker, worker->now + ACCEPT_OFF_US);
	if (log_limit_pass(&limit, &suppressed))
		log_warn("cannot accept connections: %s; they wait in the kernel meanwhile%s", strerror(error),
			 error == EMFILE ? " (raise LimitNOFILE= or ulimit -n, or lower --max-connections)" : "");
}

void listener_admit(struct worker *worker, int fd, const struct address *client, const struct address *destination)
{
	struct source_table *sources = atomic_load_explicit(&worker->engine->sources, memory_order_acquire);

	if (sources && !source_table_enter(sources, client)) {
		log_source_refused(worker, client);
		turn_away(fd);
	} else {
		session_open(worker, fd, client, destination, sources != NULL);
	}
}

/* One connection. False when there is none, or accepting has stopped. */
static bool accept_one(struct worker *worker, struct listener *listener)
{
	struct address client = {.len = sizeof(client.in6)}, destination;
	int fd;

	if (!worker->free_count || worker->live >= worker->most) {
		worker_pause_accept(worker, 0);
		return false;
	}
	fd = accept4(listener->fd, &client.sa, &client.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		switch (errno) {
		case EAGAIN:
			return false;
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			back_off(worker, errno);
			return false;
		default: /* the connection failed before it was taken, accept(2): the next may not */
			return true;
		}
	}
	if (listener->in_place && !destination_of(worker, fd, &destination)) {
		worker->counters.stray_refused++;
		turn_away(fd);
		return true;
	}
	listener_admit(worker, fd, &client, listener->in_place ? &destination : NULL);
	return true;
}

void listener_accept(struct worker *worker, struct listener *listener)
{
	for (int i = 0; i < ACCEPT_AT_ONCE && worker->listening; i++)
		if (!accept_one(worker, listener))
			return;
}

/* After what waits there. It is out of the epoll set. */
static void close_listener(struct worker *worker, struct listener *listener)
{
	/* What waits in a shared one the service manager keeps for the next of us. */
	for (int taken = 0; taken < BACKLOG && worker->free_count && !listener->shared; taken++)
		if (!accept_one(worker, listener))
			break;
	close(listener->fd);
}

/* Without the capability, asking for more than the kernel's limit would leave less than there is. */
static bool may_be_set(unsigned int share)
{
	return sysctl_number("net/core/rmem_max", UINT_MAX) >= share / 2 &&
	       sysctl_number("net/core/wmem_max", UINT_MAX) >= share / 2;
}

/* Not without need: at the start they could be more than they can now. */
static void change_buffers(int fd, const struct options *old, const struct options *new)
{
	if (new->buffer_bytes < old->buffer_bytes ||
	    (new->buffer_bytes > old->buffer_bytes &&may_be_set(socket_buffer_share(CLIENT, new->buffer_bytes))))
		socket_set_buffers(fd, CLIENT, new);
}

void listener_change(struct worker *worker, struct configuration *configuration)
{
	const struct options *options = &configuration->options;
	struct listener *opened = configuration->opened + (size_t)worker->index * configuration->opened_count;
	unsigned int kept = 0;

	worker_pause_accept(worker, 0);
	for (unsigned int i = 0; i < worker->listener_count; i++) {
		struct listener listener = worker->listeners[i];

		if (listener.in_place || options_has_listener(options, &listener.address))
			worker->listeners[kept++] = listener;
		else
			close_listener(worker, &listener);
	}
	for (unsigned int i = 0; i < configuration->opened_count; i++)
		if (opened[i].fd >= 0) {
			worker->listeners[kept++] = opened[i];
			opened[i].fd = NO_DESCRIPTOR;
		}
	worker->listener_count = kept;
	for (unsigned int i = 0; i < kept; i++) {
		if (!worker->listeners[i].shared) /* there the socket unit says it */
			set_defer_accept(worker->listeners[i].fd, options);
		change_buffers(worker->listeners[i].fd, &worker->configuration->options, options);
	}
	if (!worker->accept_timer.place)
		worker_resume_accept(worker);
}

void listener_close_all(struct worker *worker)
{
	worker_pause_accept(worker, 0); /* out of the epoll set before their numbers belong to others */
	for (unsigned int i = 0; i < worker->listener_count; i++)
		close_listener(worker, &worker->listeners[i]);
	worker->listener_count = 0;
	worker->accept_off = true;
	timer_cancel(&worker->timers, &worker->accept_timer);
}
