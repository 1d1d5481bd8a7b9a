// SPDX-License-Identifier: BSD-2-Clause
/*
 * Turns a record of the ring into a socket of ours, whose session begins as if it had been accepted. Usually the first
 * try succeeds; if the server's socket still exists, because its process holds the lock, it tries again. Owns
 * worker->takeovers; runs on the worker's thread.
 */
#include "engine/takeovers.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "engine/accept.h"
#include "engine/socket_options.h"
#include "engine/worker.h"
#include "steering/endpoint.h"
#include "steering/takeover.h"

#define WAITING_MOST 256 /* calloc() costs no memory before use */
#define AT_ONCE      64  /* takeovers per turn */
#define FIRST_TRY_US 100 /* doubles with each try */
#define TRIES        12  /* so that the last is after half a second */

/* A takeover whose server's socket still exists. */
struct waiting {
	struct steer_takeover takeover;
	struct timer timer;
	unsigned int tries; /* 0: free */
};

struct takeovers {
	struct ring_buffer *ring;
	unsigned int received; /* on this turn */
	struct waiting waiting[WAITING_MOST];
};

static int raw_of(const struct worker *worker, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover);

	return worker->engine->steer.watch.raw[steer_family_of(&client)];
}

/* Makes the BPF program let the connection's packets through again. */
static void let_through(struct worker *worker, const struct steer_takeover *takeover)
{
	hello_watch_release(&worker->engine->steer.watch, &takeover->ends);
}

/* Neither the web server nor we can continue the connection: resets the client at once. */
static void reset_both(struct worker *worker, const struct steer_takeover *takeover, int error)
{
	static struct log_limit limit;
	struct address client = takeover_client(takeover);
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	takeover_reset_server(raw_of(worker, takeover), takeover, takeover->passed);
	takeover_reset_client(raw_of(worker, takeover), takeover);
	let_through(worker, takeover);
	worker->counters.takeovers_failed++;
	if (log_limit_pass(&limit, &suppressed))
		log_warn("cannot take over the connection of %s: %s; resetting it (%lu more suppressed)",
			 address_format(&client, name, sizeof(name)),
			 error == -EAGAIN ? "the web server's socket did not go away when reset" : strerror(-error),
			 suppressed);
}

/*
 * Connection tracking takes our reset for the client's: its entry is closed, and expires 10 s after the last packet
 * (nf_conntrack_tcp_timeout_close). Keepalives keep it. A client that does not answer them is not given up before
 * --idle-timeout, unless that is long.
 */
static void keep_tracked(int fd)
{
	static const int settings[][3] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
					  {IPPROTO_TCP, TCP_KEEPIDLE, 5},
					  {IPPROTO_TCP, TCP_KEEPINTVL, 5},
					  {IPPROTO_TCP, TCP_KEEPCNT, 127}};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		setsockopt(fd, settings[i][0], settings[i][1], &settings[i][2], sizeof(settings[i][2]));
}

static void become_session(struct worker *worker, const struct steer_takeover *takeover, int fd)
{
	const struct endpoint *https = &worker->configuration->options.backends[ROUTE_HTTPS];
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	bool in_place = address_port(&server) == address_port(&https->addresses[0]);

	socket_set_client_options(fd, &worker->configuration->options);
	keep_tracked(fd);
	takeover_acknowledge(raw_of(worker, takeover), takeover);
	let_through(worker, takeover);
	worker->counters.takeovers++;
	accept_admit(worker, fd, &client, in_place ? &server : NULL);
}

/*
 * The server's socket expects the byte after the last one that was let through to it or, if it had no room, the same
 * one as before: each is tried in turn. An earlier reset may still be under way and must not hit our socket, so the
 * next is sent only if the server's socket still exists.
 */
static int take_socket(struct worker *worker, const struct steer_takeover *takeover, unsigned int tries)
{
	__u32 seq = tries % 2 ? takeover->agreed.expected : takeover->passed;
	int fd, error;

	if (!slots_have_room(&worker->slots))
		return -EUSERS;
	fd = tries ? takeover_socket(takeover) : -EAGAIN;
	if (fd != -EAGAIN)
		return fd;
	error = takeover_reset_server(raw_of(worker, takeover), takeover, seq);
	return error ? error : takeover_socket(takeover);
}

static struct waiting *find_free_place(struct takeovers *takeovers)
{
	for (int i = 0; i < WAITING_MOST; i++)
		if (takeovers->waiting[i].tries == 0)
			return &takeovers->waiting[i];
	return NULL;
}

static void try_later(struct worker *worker, struct waiting *waiting)
{
	timer_set(&worker->timers, &waiting->timer, worker->now + (FIRST_TRY_US << waiting->tries));
	waiting->tries++;
}

static void take_or_wait(struct worker *worker, const struct steer_takeover *takeover, size_t size)
{
	struct waiting *waiting;
	int fd;

	/* If the record is not sound, only the addresses in it are used. */
	fd = takeover_is_sound(takeover, size) ? take_socket(worker, takeover, 0) : -EBADMSG;
	if (fd >= 0) {
		become_session(worker, takeover, fd);
		return;
	}
	waiting = fd == -EAGAIN ? find_free_place(worker->takeovers) : NULL;
	if (!waiting) {
		reset_both(worker, takeover, fd);
		return;
	}
	memcpy(&waiting->takeover, takeover, size < sizeof(*takeover) ? size : sizeof(*takeover));
	try_later(worker, waiting);
}

/* A negative result stops the loop; this record is consumed all the same (ringbuf_process_ring). */
static int record_seen(void *context, void *data, size_t size)
{
	struct worker *worker = context;

	if (size >= offsetof(struct steer_takeover, bytes))
		take_or_wait(worker, data, size);
	return ++worker->takeovers->received < AT_ONCE ? 0 : -ECANCELED;
}

void takeovers_receive(struct worker *worker)
{
	worker->takeovers->received = 0; /* records left in the ring keep the descriptor readable */
	ring_buffer__consume(worker->takeovers->ring);
}

static struct waiting *waiting_of(struct takeovers *takeovers, const struct timer *timer)
{
	uintptr_t at = (uintptr_t)timer, first = (uintptr_t)takeovers->waiting;

	if (at < first || at >= first + sizeof(takeovers->waiting))
		return NULL;
	return &takeovers->waiting[(at - first) / sizeof(takeovers->waiting[0])];
}

bool takeovers_expired(struct worker *worker, struct timer *timer)
{
	struct waiting *waiting = worker->takeovers ? waiting_of(worker->takeovers, timer) : NULL;
	int fd;

	if (!waiting)
		return false;
	fd = take_socket(worker, &waiting->takeover, waiting->tries);
	if (fd == -EAGAIN && waiting->tries < TRIES) {
		try_later(worker, waiting);
		return true;
	}
	if (fd >= 0)
		become_session(worker, &waiting->takeover, fd);
	else
		reset_both(worker, &waiting->takeover, fd);
	waiting->tries = 0;
	return true;
}

bool takeovers_pending(struct worker *worker)
{
	return worker->takeovers && atomic_load(&worker->command) != WORKER_STOP &&
	       steer_takeovers_pending(worker->engine->steer.maps.state);
}

size_t takeovers_timers(void)
{
	return WAITING_MOST;
}

int takeovers_open(struct worker *worker)
{
	worker->takeovers = calloc(1, sizeof(struct takeovers));
	if (!worker->takeovers)
		return -ENOMEM;
	worker->takeovers->ring = ring_buffer__new(worker->engine->steer.maps.takeovers, record_seen, worker, NULL);
	return worker->takeovers->ring ? 0 : -errno;
}

void takeovers_close(struct worker *worker)
{
	if (worker->takeovers && worker->takeovers->ring)
		ring_buffer__free(worker->takeovers->ring);
	free(worker->takeovers);
	worker->takeovers = NULL;
}
