// SPDX-License-Identifier: BSD-2-Clause
/*
 * Accepts connections: which ones are served, and what happens when descriptors or slots run out. Runs on the worker's
 * thread.
 */
#include "engine/accept.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/lifecycle.h"
#include "engine/listener.h"
#include "engine/source_lines.h"
#include "engine/worker.h"

#define ACCEPT_AT_ONCE 64 /* connections a worker accepts before it runs its sessions again */
#define ACCEPT_OFF_US  (100 * US_PER_MS)

/* Resets a connection, so that the client learns at once. */
static void refuse_connection(int fd)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void log_source_refused(struct worker *worker, const struct address *client)
{
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	worker->counters.source_refused++;
	if (source_lines_pass(SOURCE_LINE_TROUBLE, client, &suppressed))
		log_warn("refused %s: its source already has %u sessions, see --max-per-source (%lu more not logged)",
			 address_format(client, name, sizeof(name)), worker->configuration->options.max_per_source,
			 suppressed);
}

/*
 * In place: the address that the client connected to. Only a steered connection has the web server's port there. False
 * for one made to the private port itself, which we would connect to ourselves.
 */
static bool destination_of(struct worker *worker, int fd, struct address *destination)
{
	const struct endpoint *https = &worker->configuration->options.backends[ROUTE_HTTPS];

	destination->len = sizeof(destination->in6);
	return getsockname(fd, &destination->sa, &destination->len) == 0 &&
	       address_port(destination) == address_port(&https->addresses[0]);
}

/* accept() failed for lack of a resource: pauses instead of trying again and again. */
static void pause_after_error(struct worker *worker, int error)
{
	static struct log_limit limit;
	unsigned long suppressed;

	worker->counters.accept_backoffs++;
	worker_pause_accept(worker, worker->now + ACCEPT_OFF_US);
	if (log_limit_pass(&limit, &suppressed))
		log_warn("cannot accept connections: %s; pausing, clients wait in the kernel%s", strerror(error),
			 error == EMFILE ? " (raise LimitNOFILE= or ulimit -n, or lower --max-connections)" : "");
}

void accept_admit(struct worker *worker, int fd, const struct address *client, const struct address *destination,
		  bool taken_over)
{
	struct source_table *sources = atomic_load_explicit(&worker->engine->sources, memory_order_acquire);
	bool entered = sources && source_table_enter(sources, client);

	/* One that was taken over is not refused here, because the web server had it: takers.h bounds those. */
	if (sources && !entered && !taken_over) {
		log_source_refused(worker, client);
		refuse_connection(fd);
		slots_cancel(&worker->slots);
	} else {
		session_open(worker, fd, client, destination, entered, taken_over);
	}
}

bool accept_one(struct worker *worker, struct listener *listener)
{
	struct address client = {.len = sizeof(client.in6)}, destination;
	int fd;

	if (!slots_reserve(&worker->slots)) {
		worker_pause_accept(worker, 0);
		return false;
	}
	fd = accept4(listener->fd, &client.sa, &client.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		slots_cancel(&worker->slots);
		switch (errno) {
		case EAGAIN:
			return false;
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			pause_after_error(worker, errno);
			return false;
		default: /* this connection failed before accept(2) returned it; the next may be fine */
			return true;
		}
	}
	if (listener->in_place && !destination_of(worker, fd, &destination)) {
		worker->counters.stray_refused++;
		refuse_connection(fd);
		slots_cancel(&worker->slots);
		return true;
	}
	accept_admit(worker, fd, &client, listener->in_place ? &destination : NULL, false);
	return true;
}

void accept_some(struct worker *worker, struct listener *listener)
{
	for (int i = 0; i < ACCEPT_AT_ONCE && worker->accepting.polled; i++)
		if (!accept_one(worker, listener))
			return;
}
