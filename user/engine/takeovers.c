// SPDX-License-Identifier: BSD-2-Clause
/*
 * Turns records of the ring into sessions: reserves a place for each in the worker with the most room, climbs the
 * ladder (steering/ladder.h), at once or after pauses, and gives away the socket. What cannot be taken over stays the
 * web server's. Owns worker->takeovers; runs on the thread of the first worker.
 */
#include "engine/takeovers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "clienthello.h"
#include "engine/inbox.h"
#include "engine/socket_options.h"
#include "engine/source_lines.h"
#include "engine/takers.h"
#include "engine/worker.h"
#include "steering/endpoint.h"
#include "steering/ladder.h"
#include "steering/takeover.h"

#define WAITING_MOST 256 /* calloc() costs no memory before use */
#define LEFT_MOST    4096
#define LEFT_US      (5000 * US_PER_MS) /* for the client to send again */
#define AGAIN_US     (100 * US_PER_MS)
#define SILENT_US    (1000 * US_PER_MS) /* of the repair helper; then new connections are steered */
#define AT_ONCE      64                 /* takeovers per turn */

/* A takeover that waits for its next step. */
struct waiting {
	struct steer_takeover takeover;
	struct ladder ladder;
	struct timer timer;
	struct worker *to; /* with the reserved place; NULL: this one is free */
};

/* A connection that was given back: its entry goes when the client sends again, or then. */
struct left {
	struct repair_entry entry;
	uint64_t due;
};

struct takeovers {
	struct ring_buffer *ring;
	bool is_polled;
	unsigned int received; /* on this turn */
	unsigned int waiting_count;
	struct waiting waiting[WAITING_MOST];
	struct timer left_timer;
	unsigned int left_first, left_count;
	struct left left[LEFT_MOST];
};

static struct hello_watch *watch_of(struct worker *worker)
{
	return &worker->engine->steer.watch;
}

/* --- how it ends --- */

/* Its entry goes later. */
static void release_later(struct worker *worker, const struct repair_entry *entry)
{
	struct takeovers *takeovers = worker->takeovers;
	static struct log_limit limit;
	unsigned long suppressed;
	struct left *left;

	if (takeovers->left_count == LEFT_MOST) {
		/* Of a connection that was given back, the hello may be read again. */
		if (!hello_watch_release(watch_of(worker), entry) && log_limit_pass(&limit, &suppressed))
			log_error("cannot end a takeover, because the repair helper does not answer; a client gets no "
				  "answer (%lu more suppressed)",
				  suppressed);
		return;
	}
	left = &takeovers->left[(takeovers->left_first + takeovers->left_count++) % LEFT_MOST];
	*left = (struct left){.entry = *entry, .due = worker->now + LEFT_US};
	if (!timer_is_set(&takeovers->left_timer))
		timer_set(&worker->timers, &takeovers->left_timer, left->due);
}

/* The web server keeps the connection. */
static void leave_to_server(struct worker *worker, const struct steer_takeover *takeover)
{
	struct repair_entry entry = repair_entry_of(takeover);

	hello_watch_leave(watch_of(worker), &entry);
	release_later(worker, &entry);
}

static void release(struct worker *worker, const struct steer_takeover *takeover)
{
	struct repair_entry entry = repair_entry_of(takeover);

	if (!hello_watch_release(watch_of(worker), &entry))
		release_later(worker, &entry);
}

static void release_left(struct worker *worker)
{
	struct takeovers *takeovers = worker->takeovers;

	while (takeovers->left_count && takeovers->left[takeovers->left_first].due <= worker->now) {
		if (!hello_watch_release(watch_of(worker), &takeovers->left[takeovers->left_first].entry)) {
			timer_set(&worker->timers, &takeovers->left_timer, worker->now + AGAIN_US);
			return;
		}
		takeovers->left_first = (takeovers->left_first + 1) % LEFT_MOST;
		takeovers->left_count--;
	}
	if (takeovers->left_count)
		timer_set(&worker->timers, &takeovers->left_timer, takeovers->left[takeovers->left_first].due);
}

static bool is_validation(const struct steer_takeover *takeover)
{
	struct clienthello hello = {0};

	return clienthello_feed(&hello, takeover->bytes, takeover->length, NULL) == CLIENTHELLO_ACME;
}

/*
 * There is no room for another session. A validation comes again with the client's retransmission; a hello that was
 * only too long to be read in passing is most likely the web server's.
 */
static void put_off(struct worker *worker, const struct steer_takeover *takeover, uint64_t *counter)
{
	struct address client = takeover_client(takeover);
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (!is_validation(takeover)) {
		worker->counters.untakable_room++;
		leave_to_server(worker, takeover);
		return;
	}
	++*counter;
	release(worker, takeover);
	if (source_lines_pass(SOURCE_LINE_TROUBLE, &client, &suppressed))
		log_warn("no room to take over the connection of %s: %s; it is tried again when the client sends its "
			 "ClientHello again (%lu more suppressed)",
			 address_format(&client, name, sizeof(name)),
			 counter == &worker->counters.late_room ? "all sessions are in use, see --max-connections"
								: "its network already has a quarter of all sessions",
			 suppressed);
}

static bool cannot_be_removed(int error)
{
	return error == -EADDRNOTAVAIL || error == -EOPNOTSUPP || error == -EPERM || error == -EPIPE;
}

/* The main thread does: see engine_follow_takeovers(). */
static void ask_to_steer(struct worker *worker)
{
	atomic_store(&worker->engine->shared->takeovers_fail, true);
	worker_answered(worker);
}

static void give_back(struct worker *worker, const struct steer_takeover *takeover, int error)
{
	struct address client = takeover_client(takeover);
	bool steers = cannot_be_removed(error);
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (steers) {
		worker->counters.untakable_immovable++;
		ask_to_steer(worker);
	} else {
		worker->counters.untakable_resources++;
	}
	leave_to_server(worker, takeover);
	if (source_lines_pass(SOURCE_LINE_TROUBLE, &client, &suppressed))
		log_warn("cannot take over the connection of %s: %s; the web server keeps it%s (%lu more suppressed)",
			 address_format(&client, name, sizeof(name)),
			 error == -EADDRNOTAVAIL ? "the web server's socket did not go away"
			 : error == -EPIPE       ? "the repair helper has ended"
						 : strerror(-error),
			 steers ? ", and new connections are steered through alpnbpf until it is disarmed" : "",
			 suppressed);
}

/* Neither the web server nor we can continue the connection: resets the client at once. */
static void reset_client(struct worker *worker, const struct steer_takeover *takeover, int error)
{
	struct repair_entry entry = repair_entry_of(takeover);
	struct address client = takeover_client(takeover);
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (!hello_watch_reset_client(watch_of(worker), &entry))
		release_later(worker, &entry);
	worker->counters.takeovers_failed++;
	if (source_lines_pass(SOURCE_LINE_TROUBLE, &client, &suppressed))
		log_warn("cannot continue the connection of %s: %s; resetting it (%lu more suppressed)",
			 address_format(&client, name, sizeof(name)), strerror(-error), suppressed);
}

static void set_options(struct worker *worker, const struct steer_takeover *takeover, const struct ladder *ladder)
{
	socket_set_client_options(ladder->fd, &worker->configuration->options);
	if (ladder_left_trace(ladder, takeover))
		socket_keep_tracked(ladder->fd);
}

static void become_session(struct worker *worker, const struct steer_takeover *takeover, const struct ladder *ladder,
			   struct worker *to)
{
	const struct options *options = &worker->configuration->options;
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	bool in_place = address_port(&server) == address_port(&options->backends[ROUTE_HTTPS].addresses[0]);

	worker->counters.takeovers++;
	set_options(worker, takeover, ladder);
	inbox_give(to, to == worker, ladder->fd, &client, in_place ? &server : NULL);
}

/* Nothing can be taken over meanwhile, but sessions go on. */
static void look_after_helper(struct worker *worker)
{
	static struct log_limit limit;
	const struct repair *repair = &watch_of(worker)->helper.worker;
	unsigned long suppressed;

	if (!repair->awaited || worker->now < repair->asked_us + SILENT_US ||
	    !worker->engine->steer.maps.state->watching)
		return;
	ask_to_steer(worker);
	if (log_limit_pass(&limit, &suppressed))
		log_warn("the repair helper has not answered for a second; new connections are steered through alpnbpf "
			 "until it is disarmed (%lu more suppressed)",
			 suppressed);
}

/* --- its steps --- */

/* Returns whether it has to wait. */
static bool take_step(struct worker *worker, const struct steer_takeover *takeover, struct ladder *ladder,
		      struct worker *to)
{
	struct address client = takeover_client(takeover);

	switch (ladder_climb(ladder, &watch_of(worker)->helper.worker, takeover, worker->now)) {
	case LADDER_WAIT:
		look_after_helper(worker);
		return true;
	case LADDER_READY:
		become_session(worker, takeover, ladder, to);
		return false;
	case LADDER_GIVE_BACK:
		give_back(worker, takeover, ladder->error);
		break;
	case LADDER_LOST:
		reset_client(worker, takeover, ladder->error);
		break;
	}
	takers_leave(worker->engine, &client);
	inbox_cancel(to);
	return false;
}

/* While no place is free, records stay in the ring. */
static void poll_ring(struct worker *worker, bool wanted)
{
	union event_source source = {.kind = SOURCE_TAKEOVERS};
	struct epoll_event event = {.events = wanted ? EPOLLIN : 0, .data.u64 = source.bits};

	if (worker->takeovers->is_polled == wanted)
		return;
	if (epoll_ctl(worker->epoll, EPOLL_CTL_MOD, worker->engine->steer.maps.takeovers, &event))
		log_error("cannot wait for takeovers: epoll: %s", strerror(errno));
	else
		worker->takeovers->is_polled = wanted;
}

static void wait_for_next_step(struct worker *worker, struct waiting *waiting)
{
	timer_set(&worker->timers, &waiting->timer, worker->now + ladder_pause(&waiting->ladder));
}

static void keep_waiting(struct worker *worker, const struct steer_takeover *takeover, const struct ladder *ladder,
			 struct worker *to)
{
	struct takeovers *takeovers = worker->takeovers;
	struct waiting *waiting = takeovers->waiting;

	while (waiting->to) /* one is free: see poll_ring() */
		waiting++;
	memcpy(&waiting->takeover, takeover, offsetof(struct steer_takeover, bytes) + takeover->length);
	waiting->ladder = *ladder;
	waiting->to = to;
	wait_for_next_step(worker, waiting);
	takeovers->waiting_count++;
	poll_ring(worker, takeovers->waiting_count < WAITING_MOST);
}

static void stop_waiting(struct worker *worker, struct waiting *waiting)
{
	waiting->to = NULL;
	worker->takeovers->waiting_count--;
	poll_ring(worker, true);
}

static void begin_takeover(struct worker *worker, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover);
	struct ladder ladder;
	struct worker *to;

	if (!takers_enter(worker->engine, &client)) {
		put_off(worker, takeover, &worker->counters.late_network);
		return;
	}
	to = inbox_reserve(worker->engine);
	if (!to) {
		takers_leave(worker->engine, &client);
		put_off(worker, takeover, &worker->counters.late_room);
		return;
	}
	ladder_begin(&ladder, worker->now);
	if (take_step(worker, takeover, &ladder, to))
		keep_waiting(worker, takeover, &ladder, to);
}

/* A negative result stops the loop; this record is consumed all the same (ringbuf_process_ring). */
static int record_seen(void *context, void *data, size_t size)
{
	struct worker *worker = context;
	struct takeovers *takeovers = worker->takeovers;
	const struct steer_takeover *takeover = data;

	if (takeover_is_sound(takeover, size))
		begin_takeover(worker, takeover);
	else if (size >= offsetof(struct steer_takeover, bytes)) /* only the addresses in it are used */
		give_back(worker, takeover, -EBADMSG);
	return ++takeovers->received < AT_ONCE && takeovers->is_polled ? 0 : -ECANCELED;
}

void takeovers_receive(struct worker *worker)
{
	worker->takeovers->received = 0; /* records left in the ring keep the descriptor readable */
	if (worker->takeovers->is_polled)
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
	struct takeovers *takeovers = worker->takeovers;
	struct waiting *waiting;

	if (!takeovers)
		return false;
	if (timer == &takeovers->left_timer) {
		release_left(worker);
		return true;
	}
	waiting = waiting_of(takeovers, timer);
	if (!waiting)
		return false;
	if (take_step(worker, &waiting->takeover, &waiting->ladder, waiting->to))
		wait_for_next_step(worker, waiting);
	else
		stop_waiting(worker, waiting);
	return true;
}

bool takeovers_pending(struct worker *worker)
{
	return worker->takeovers && atomic_load(&worker->shared->command) != WORKER_STOP &&
	       steer_takeovers_pending(worker->engine->steer.maps.state);
}

void takeovers_abandon(struct worker *worker)
{
	struct takeovers *takeovers = worker->takeovers;

	for (struct waiting *waiting = takeovers ? takeovers->waiting : NULL; takeovers && takeovers->waiting_count;
	     waiting++) {
		struct address client;

		if (!waiting->to)
			continue;
		client = takeover_client(&waiting->takeover);
		timer_cancel(&worker->timers, &waiting->timer);
		ladder_abandon(&waiting->ladder, &watch_of(worker)->helper.worker);
		leave_to_server(worker, &waiting->takeover);
		takers_leave(worker->engine, &client);
		inbox_cancel(waiting->to);
		stop_waiting(worker, waiting);
	}
}

size_t takeovers_timers(void)
{
	return WAITING_MOST + 1;
}

int takeovers_open(struct worker *worker)
{
	worker->takeovers = calloc(1, sizeof(struct takeovers));
	if (!worker->takeovers)
		return -ENOMEM;
	worker->takeovers->is_polled = true; /* by the caller */
	worker->takeovers->ring = ring_buffer__new(worker->engine->steer.maps.takeovers, record_seen, worker, NULL);
	return worker->takeovers->ring ? 0 : -errno;
}

int takeovers_epoll(const struct worker *worker)
{
	return worker->takeovers ? ring_buffer__epoll_fd(worker->takeovers->ring) : NO_DESCRIPTOR;
}

void takeovers_close(struct worker *worker)
{
	if (worker->takeovers && worker->takeovers->ring)
		ring_buffer__free(worker->takeovers->ring);
	free(worker->takeovers);
	worker->takeovers = NULL;
}
