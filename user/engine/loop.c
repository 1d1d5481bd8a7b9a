// SPDX-License-Identifier: BSD-2-Clause
/*
 * The loop of a worker: waits, marks the sessions that have events, runs them, sweeps those that have ended. Nothing is
 * closed or freed in the middle of a batch of events. Runs on the worker's thread; worker_init(), worker_start() and
 * worker_free() run on the main thread, while the worker does not.
 */
#include "engine/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/accept.h"
#include "engine/handover.h"
#include "engine/inbox.h"
#include "engine/lifecycle.h"
#include "engine/listener.h"
#include "engine/takeovers.h"
#include "engine/worker.h"

#define BATCH 256

static struct session *session_of(struct worker *worker, uint32_t index)
{
	return &worker->slots.sessions[index];
}

static int poll_descriptor(struct worker *worker, int fd, enum source_kind kind)
{
	union event_source source = {.kind = (uint8_t)kind};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = source.bits};

	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* A record of the event ring: a hint that this flow owes bytes, or knows its route. */
static int note_flow_event(void *context, void *data, size_t size)
{
	struct worker *worker = context;
	const struct flow_event *event = data;
	uint32_t first = worker->index * worker->engine->slots_per_worker, slot;

	if (size < sizeof(*event))
		return 0;
	worker->counters.passes++;
	slot = event->key / SIDES;
	if (slot >= first && slot - first < worker->engine->slots_per_worker)
		worker_mark(session_of(worker, slot - first));
	return 0;
}

/* The ring was full: it is unknown whose events were lost, so every session is run. */
static void look_for_lost_events(struct worker *worker)
{
	uint64_t lost = __atomic_load_n(&worker->engine->dataplane.events_lost[worker->index], __ATOMIC_ACQUIRE);

	if (lost == worker->events_lost)
		return;
	worker->events_lost = lost;
	for (unsigned int i = 0; i < worker->slots.ever_used; i++)
		worker_mark(&worker->slots.sessions[i]);
}

static void note_socket_event(struct worker *worker, union event_source source, uint32_t events)
{
	struct session *session = session_of(worker, source.index);
	struct socket_side *sock = &session->sides[source.side];

	if (session->state == SESSION_FREE || sock->fd < 0 || sock->generation != source.generation)
		return;
	if (events & EPOLLIN)
		sock->readable = true;
	if (events & EPOLLOUT)
		sock->blocked = false;
	if (events & EPOLLPRI)
		sock->urgent = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		sock->fin_seen = sock->readable = true;
	if (events & EPOLLERR) /* EPOLLHUP alone: both directions have ended */
		sock->poll_error = sock->readable = true;
	worker_mark(session);
}

/* There may be a free slot. During a pause after EMFILE, the timer decides. */
static void resume_after_room(struct worker *worker)
{
	if (!timer_is_set(&worker->accepting.timer))
		worker_resume_accept(worker);
}

static void dispatch_event(struct worker *worker, const struct epoll_event *event)
{
	union event_source source = {.bits = event->data.u64};
	uint64_t value;

	switch ((enum source_kind)source.kind) {
	case SOURCE_WAKE:
		if (read(worker->wake, &value, sizeof(value)) < 0)
			log_debug("worker %u: cannot read its eventfd: %s", worker->index, strerror(errno));
		inbox_admit(worker);
		handover_free_unused(worker);
		resume_after_room(worker);
		break;
	case SOURCE_RING:
		ring_buffer__consume(worker->ring);
		look_for_lost_events(worker);
		break;
	case SOURCE_TAKEOVERS:
		takeovers_receive(worker);
		break;
	case SOURCE_HANDOVER:
		handover_receive(worker);
		break;
	case SOURCE_LISTENER:
		if (worker->accepting.polled)
			accept_some(worker, &worker->accepting.listeners[source.index]);
		break;
	case SOURCE_SESSION:
		note_socket_event(worker, source, event->events);
		break;
	}
}

static void run_timers(struct worker *worker)
{
	struct timer *timer;

	while ((timer = timers_expired(&worker->timers, worker->now))) {
		struct session *session;

		if (timer == &worker->accepting.timer) {
			worker_resume_accept(worker);
			continue;
		}
		if (takeovers_expired(worker, timer))
			continue;
		session = session_of(worker, slots_index(&worker->slots, timer));
		if (timer == &session->deadline)
			session_deadline(session);
		else
			session_retry(session);
	}
}

static void run_sessions(struct worker *worker)
{
	struct session *session = worker->runnable;

	worker->runnable = NULL; /* a session that marks itself again runs on the next turn */
	while (session) {
		struct session *next = session->next_runnable;

		session->runnable = false;
		session_progress(session);
		session = next;
	}
}

/* Seats of the queue for the ACME responder that have changed. */
static void run_called(struct worker *worker)
{
	struct seat *seat;

	while ((seat = responder_called(worker->engine->responder, worker->index)))
		session_called(session_of(worker, slots_index(&worker->slots, seat)));
}

static void sweep_sessions(struct worker *worker)
{
	struct session *session = worker->closing;
	bool freed = session != NULL;

	worker->closing = NULL;
	while (session) {
		struct session *next = session->next_closing;

		session_sweep(session);
		session = next;
	}
	if (freed)
		resume_after_room(worker);
}

static unsigned int share_of(const struct worker *worker, unsigned int sessions)
{
	unsigned int workers = worker->engine->worker_count;

	return sessions / workers + (worker->index < sessions % workers);
}

/* New sessions have the newest options from now on. */
static void adopt_configuration(struct worker *worker, struct configuration *newest)
{
	struct configuration *old = worker->configuration;

	if (!worker->accepting.over)
		listener_change(worker, newest);
	for (int route = 0; route < ROUTES; route++) {
		if (strcmp(old->options.backends[route].text, newest->options.backends[route].text) == 0)
			continue;
		worker->first_address[route] = 0;
		memset(worker->listeners[route], 0, sizeof(worker->listeners[route]));
		if (route == ROUTE_ACME)
			responder_forget(worker->engine->responder);
		worker->backends[route] = (struct backend_state){0};
	}
	slots_set_limit(&worker->slots, share_of(worker, newest->max_sessions));
	worker->configuration = newest;
	configuration_leave(old);
	atomic_store(&worker->shared->adopted, newest->number);
	worker_answered(worker);
}

static void obey_commands(struct worker *worker)
{
	int command = atomic_load(&worker->shared->command);
	struct configuration *newest;

	handover_follow(worker);
	newest = atomic_load(&worker->engine->configuration);
	if (newest != worker->configuration)
		adopt_configuration(worker, newest);
	if (command == WORKER_RUN)
		return;
	if (!worker->accepting.over)
		listener_close_all(worker);
	if (command != WORKER_STOP)
		return;
	takeovers_abandon(worker);
	for (unsigned int i = 0; i < worker->slots.ever_used; i++)
		if (worker->slots.sessions[i].state != SESSION_FREE &&
		    worker->slots.sessions[i].state != SESSION_CLOSING)
			session_end(&worker->slots.sessions[i], CAUSE_SHUTDOWN, true);
}

static int wait_for_events(struct worker *worker, struct epoll_event *events, uint64_t patience_us)
{
	uint64_t next = timers_next(&worker->timers), left = patience_us;
	struct timespec wait = {0}, *timeout = &wait;

	if (next != UINT64_MAX) {
		uint64_t now = monotonic_us(), due = next > now ? next - now : 0;

		left = due < left ? due : left;
	}
	if (worker->runnable) {
		/* at once */
	} else if (left == UINT64_MAX) {
		timeout = NULL;
	} else {
		wait.tv_sec = (time_t)(left / 1000000);
		wait.tv_nsec = (long)(left % 1000000) * 1000;
	}
	return epoll_pwait2(worker->epoll, events, BATCH, timeout, NULL);
}

/* Told to drain or stop, without sessions and takeovers left. */
static bool has_finished(struct worker *worker)
{
	return worker->accepting.over && slots_live(&worker->slots) == 0 && !takeovers_pending(worker) &&
	       inbox_close(&worker->inbox, &worker->slots);
}

int worker_turn(struct worker *worker, uint64_t patience_us)
{
	struct epoll_event events[BATCH];
	int count = wait_for_events(worker, events, patience_us);

	if (count < 0 && errno != EINTR)
		return -errno;
	worker->now = monotonic_us();
	atomic_store_explicit(&worker->shared->loops, worker->shared->loops + 1, memory_order_relaxed);
	for (int i = 0; i < count; i++)
		dispatch_event(worker, &events[i]);
	run_called(worker);
	run_timers(worker);
	run_sessions(worker);
	obey_commands(worker);
	sweep_sessions(worker);
	atomic_store_explicit(&worker->shared->live, slots_live(&worker->slots), memory_order_relaxed);
	snapshot_answer(worker);
	return has_finished(worker);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	uint64_t one = 1;
	char name[16];
	int result;

	snprintf(name, sizeof(name), "worker %u", worker->index);
	pthread_setname_np(pthread_self(), name);
	worker->now = monotonic_us();
	worker_resume_accept(worker);
	do
		result = worker_turn(worker, UINT64_MAX);
	while (result == 0);
	if (result < 0)
		log_error("worker %u: cannot wait for events: epoll: %s; ending", worker->index, strerror(-result));
	snapshot_last(worker);
	atomic_store(&worker->shared->loops, WORKER_ENDED);
	/* Write both, even if one fails: each makes the main thread look at all workers. */
	worker_answered(worker);
	if (write(worker->engine->finished, &one, sizeof(one)) < 0)
		log_error("worker %u: cannot report its end: %s", worker->index, strerror(errno));
	return NULL;
}

int worker_init(struct worker *worker, struct engine *engine, unsigned int index)
{
	unsigned int slots = engine->slots_per_worker;
	int error;

	worker->engine = engine;
	worker->index = index;
	worker->shared = &engine->shared->workers[index];
	worker->epoll = worker->wake = NO_DESCRIPTOR;
	inbox_open(&worker->inbox);
	worker->configuration = atomic_load(&engine->configuration);
	worker->scratch = malloc(SCRATCH_BYTES);
	worker->list = shared_map(snapshot_list_bytes(worker));
	if (!worker->scratch || !worker->list)
		return -ENOMEM;
	error = slots_open(&worker->slots, slots, share_of(worker, engine->max_sessions));
	if (error)
		return error;
	error = timers_init(&worker->timers, 2 * (size_t)slots + 1 + takeovers_timers());
	if (error)
		return error;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->epoll < 0 || worker->wake < 0)
		return -errno;
	error = poll_descriptor(worker, worker->wake, SOURCE_WAKE);
	if (!error && index == 0)
		error = poll_descriptor(worker, engine->handover.from, SOURCE_HANDOVER);
	if (!error && index == 0 && engine->steer.watch.is_ready) {
		error = takeovers_open(worker);
		if (!error)
			error = poll_descriptor(worker, engine->steer.maps.takeovers, SOURCE_TAKEOVERS);
	}
	if (error || !dataplane_has_verdict(&engine->dataplane))
		return error;
	error = dataplane_open_ring(&engine->dataplane, index, note_flow_event, worker, &worker->ring);
	if (error)
		return error;
	return poll_descriptor(worker, engine->dataplane.rings[index], SOURCE_RING);
}

int worker_start(struct worker *worker)
{
	return -pthread_create(&worker->thread, NULL, worker_main, worker);
}

/* What only the thread needs. */
static void free_resources(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->accepting.count; i++)
		descriptor_close(&worker->accepting.listeners[i].fd);
	if (worker->ring)
		ring_buffer__free(worker->ring);
	worker->ring = NULL;
	takeovers_close(worker);
	inbox_free(&worker->inbox);
	descriptor_close(&worker->epoll);
	timers_free(&worker->timers);
	slots_close(&worker->slots);
	free(worker->scratch);
	worker->scratch = NULL;
}

void worker_let_go(struct worker *worker)
{
	free_resources(worker);
	worker->let_go = true;
}

void worker_free(struct worker *worker)
{
	if (!worker->let_go)
		free_resources(worker);
	descriptor_close(&worker->wake);
	shared_unmap(worker->list, snapshot_list_bytes(worker));
}

unsigned int worker_descriptors(const struct worker *worker, int *out)
{
	unsigned int count = 0;

	out[count++] = worker->epoll;
	out[count++] = worker->wake;
	out[count++] = worker->ring ? ring_buffer__epoll_fd(worker->ring) : NO_DESCRIPTOR;
	out[count++] = takeovers_epoll(worker);
	for (unsigned int i = 0; i < worker->accepting.count; i++)
		out[count++] = worker->accepting.listeners[i].fd;
	return count;
}
