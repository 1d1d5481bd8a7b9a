// SPDX-License-Identifier: BSD-2-Clause
/*
 * A record of the ring becomes a socket of ours, and its session begins as if it had been accepted. As a rule that
 * takes one try; where the server's socket is not gone yet (its process holds the lock just then) it is tried again.
 * Owns worker->takeovers; runs on the worker's thread.
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

#define WAITING_MOST 256 /* no memory is used before it is needed */
#define AT_ONCE      64  /* taken over before others have their turn */
#define FIRST_TRY_US 100 /* the next after twice the time … */
#define TRIES        12  /* … so that the last is after half a second */

/* One whose server's socket is not gone yet. */
struct waiting {
	struct steer_takeover takeover;
	struct timer timer;
	unsigned int tries; /* 0: free */
};

struct takeovers {
	struct ring_buffer *ring;
	unsigned int received; /* in this round */
	struct waiting waiting[WAITING_MOST];
};

static int raw_of(const struct worker *worker, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover);

	return worker->engine->steer.watch.raw[steer_family_of(&client)];
}

/* The program lets its packets through again. */
static void let_through(struct worker *worker, const struct steer_takeover *takeover)
{
	hello_watch_release(&worker->engine->steer.watch, &takeover->ends);
}

/* Neither the web server nor we can go on with it: the client learns that at once. */
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
		log_warn("cannot take over the connection of %s: %s; it was reset (%lu more since)",
			 address_format(&client, name, sizeof(name)),
			 error == -EAGAIN ? "the web server's socket did not go away when reset" : strerror(-error),
			 suppressed);
}

/*
 * Connection tracking has seen our reset and takes it for the client's: the entry is closed, and lives for 10 s after
 * each packet (nf_conntrack_tcp_timeout_close). A client that answers keeps it alive; one that does not is not given up
 * for that before --idle-timeout, as a rule.
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
 * The server's socket expects what comes after the last byte that was let through to it. If it had no room for that, it
 * expects what it did before: each is tried in turn. A reset may be on its way still; it must not meet a socket of
 * ours, so the next is sent only if the server's is there.
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

	/* If it is not what the program writes, nothing but the ends is believed. */
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

/* Negative: enough for now; this record is consumed all the same (ringbuf_process_ring). */
static int record_seen(void *context, void *data, size_t size)
{
	struct worker *worker = context;

	if (size >= STEER_BRIEF_SIZE)
		take_or_wait(worker, data, size);
	return ++worker->takeovers->received < AT_ONCE ? 0 : -ECANCELED;
}

void takeovers_receive(struct worker *worker)
{
	worker->takeovers->received = 0; /* what is left keeps the descriptor readable */
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
