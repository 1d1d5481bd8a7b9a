// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a session from accept() to the sweep: its states, its deadlines, its end. first_bytes.c decides the
 * route, backend.c connects, relay.c moves bytes. Runs on the thread of the session's worker.
 */
#include "engine/lifecycle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/backend.h"
#include "engine/deadlines.h"
#include "engine/first_bytes.h"
#include "engine/flow.h"
#include "engine/hints.h"
#include "engine/peek.h"
#include "engine/relay.h"
#include "engine/side.h"
#include "engine/socket_options.h"
#include "engine/source_lines.h"
#include "engine/takers.h"
#include "engine/turn.h"
#include "engine/validation.h"
#include "engine/worker.h"

#define HALF_CLOSE_US (1000 * US_PER_MS) /* after its beginning, a client has ended its side with its hello */

/* Counts the sessions that may read the table of rules. Only this worker writes its count. */
static void count_hello(const struct session *session, unsigned int change)
{
	unsigned int table = session->configuration->rules;
	_Atomic unsigned int *hellos;

	if (!table)
		return;
	hellos = &session->worker->shared->hellos[table - 1];
	atomic_store_explicit(hellos, atomic_load_explicit(hellos, memory_order_relaxed) + change,
			      memory_order_release);
}

/* Initialises a session in a free slot. Keeps the fields that the worker's lists and late events rely on. */
static struct session *new_session(struct worker *worker)
{
	struct session *session = slots_take(&worker->slots);
	struct session old = *session;

	*session = (struct session){
		.worker = worker,
		.configuration = worker->configuration,
		.slot = worker->index * worker->engine->slots_per_worker + slots_index(&worker->slots, session),
		.number = (worker->slots.taken - 1) * worker->engine->worker_count + worker->index + 1,
		.runnable = old.runnable,
		.next_runnable = old.next_runnable,
	};
	session->flows = &worker->engine->dataplane.flows[SIDE_KEY(session->slot, CLIENT)];
	for (int side = CLIENT; side < SIDES; side++) {
		session->sides[side].fd = NO_DESCRIPTOR;
		session->sides[side].generation = (uint16_t)(old.sides[side].generation + 1);
		/* No verdict writes here: the previous sockets are closed. */
		memset(&session->flows[side], 0, sizeof(struct flow));
	}
	configuration_enter(session->configuration);
	session->flows[CLIENT].rules = session->configuration->rules;
	session->first_bytes.counted = true;
	count_hello(session, 1);
	return session;
}

/*
 * May the verdict see this client from the start? With --dataplane auto, only conversations move into the kernel, later
 * (promote.c). Not if the default backend is a unix socket: every byte would be passed.
 */
static bool wants_verdict(const struct worker *worker)
{
	return dataplane_has_verdict(&worker->engine->dataplane) &&
	       worker->configuration->options.dataplane == DATAPLANE_SOCKMAP &&
	       worker->configuration->options.backends[ROUTE_HTTPS].addresses[0].sa.sa_family != AF_UNIX;
}

/* False if that ended the session. */
static bool open_client(struct session *session, bool *ahead)
{
	struct socket_side *client = &session->sides[CLIENT];

	client->is_tcp = client->connected = client->readable = true;
	if (wants_verdict(session->worker)) {
		ssize_t waiting = first_bytes_look(session, ahead);

		if (waiting < 0 && waiting != -EAGAIN) {
			session_end(session, CAUSE_CLIENT_RESET, true);
			return false;
		}
		side_insert(session, CLIENT);
	}
	return side_poll_or_end(session, CLIENT);
}

static void relay(struct session *session)
{
	relay_progress(session);
	if (session->route == ROUTE_ACME)
		turn_progress(session);
}

/* Acts on the state of connecting: once the backend is connected, the session is open. */
static void follow_backend(struct session *session, enum backend_step step)
{
	if (step != BACKEND_STANDS || !backend_join(session))
		return;
	if (session->state != SESSION_CONNECTING)
		return; /* connected ahead of the hello */
	session->state = SESSION_OPEN;
	session->idle.since = session->worker->now;
	trace_settled(session);
	timer_cancel(&session->worker->timers, &session->retry);
	if (!session->first_bytes.is_validation)
		deadline_for_idleness(session);
	relay(session);
}

/* A validation connects when it is its turn. */
static void follow_turn(struct session *session)
{
	if (turn_look(session) != TURN_BEGINS)
		return;
	socket_set_acme_buffers(session->sides[CLIENT].fd, false);
	follow_backend(session, backend_connect(session));
}

/* The route is known, or the session ended before: the session needs the rules no more. */
static void leave_hello(struct session *session)
{
	if (session->first_bytes.counted)
		count_hello(session, -1U);
	session->first_bytes.counted = false;
}

static void take_route(struct session *session, enum route route)
{
	session->route = route;
	session->worker->counters.routed[route]++;
	trace_decided(session);
	/*
	 * Before the route is published, after which the verdict would redirect another backend's bytes to the client.
	 */
	backend_drop_other(session, route);
	flow_choose_route(&session->flows[CLIENT], route);
	leave_hello(session);
	session->state = SESSION_CONNECTING;
	if (route == ROUTE_ACME) {
		socket_set_acme_buffers(session->sides[CLIENT].fd, true);
		turn_join(session);
		follow_turn(session);
	} else {
		deadline_for_nothing(session);
		follow_backend(session, backend_connect(session));
	}
}

/* Acts on the first bytes. They are forgotten last: the trace and PROXY TLVs need them. */
static void follow_first_bytes(struct session *session, enum route route)
{
	if (route != ROUTE_UNDECIDED)
		take_route(session, route);
	peek_forget(session->worker);
}

void session_open(struct worker *worker, int fd, const struct address *client, const struct address *destination,
		  bool in_sources, bool taken_over)
{
	struct session *session = new_session(worker);
	bool ahead = false;

	worker->counters.sessions++;
	session->state = SESSION_HELLO;
	session->client = *client;
	if (destination)
		session->destination = *destination;
	session->in_sources = in_sources;
	session->taken_over = taken_over;
	session->sides[CLIENT].fd = fd;
	session->started = session->idle.since = worker->now;
	if (open_client(session, &ahead))
		follow_first_bytes(session, first_bytes_start(session, ahead));
	else
		peek_forget(worker);
}

/*
 * A validator that ends its side while it waits has given up. One that does so with its hello has not: the responder
 * gets that end, too.
 */
static bool has_left_queue(struct session *session)
{
	if (session->state != SESSION_CONNECTING || session->route != ROUTE_ACME || session->turn.begun ||
	    !session->sides[CLIENT].fin_seen || session->turn.half_closed)
		return false;
	session->turn.half_closed = session->worker->now - session->started < HALF_CLOSE_US;
	return !session->turn.half_closed;
}

void session_progress(struct session *session)
{
	switch (session->state) {
	case SESSION_FREE:
	case SESSION_CLOSING:
		return;
	case SESSION_HELLO:
	case SESSION_CONNECTING:
		if (!side_check(session, CLIENT))
			return;
		if (has_left_queue(session)) {
			session_end(session, CAUSE_CLIENT_LEFT, true);
			return;
		}
		if (session->sides[BACKEND].fd >= 0)
			follow_backend(session, backend_progress(session));
		if (session->state == SESSION_HELLO)
			follow_first_bytes(session, first_bytes_progress(session));
		return;
	case SESSION_OPEN:
		relay(session);
		return;
	}
}

void session_deadline(struct session *session)
{
	switch (session->state) {
	case SESSION_FREE:
	case SESSION_CLOSING:
		return;
	case SESSION_HELLO:
		follow_first_bytes(session, first_bytes_timeout(session));
		return;
	case SESSION_CONNECTING: /* only a validation has a deadline here */
	case SESSION_OPEN:
		if (session->route == ROUTE_ACME)
			follow_turn(session);
		else if (session->first_bytes.is_validation) /* fell back */
			session_end(session, CAUSE_ACME_TIMEOUT, true);
		else if (deadline_is_idle(session))
			session_end(session, CAUSE_IDLE_TIMEOUT, relay_holds_bytes(session));
		else
			deadline_for_idleness(session);
		return;
	}
}

void session_retry(struct session *session)
{
	switch (session->state) {
	case SESSION_FREE:
	case SESSION_CLOSING:
		return;
	case SESSION_HELLO:
	case SESSION_CONNECTING:
		follow_backend(session, backend_retry(session));
		return;
	case SESSION_OPEN:
		worker_mark(session);
		return;
	}
}

void session_called(struct session *session)
{
	if (session->state == SESSION_CONNECTING || session->state == SESSION_OPEN)
		follow_turn(session);
}

static void log_fault(const struct session *session)
{
	char client[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (session->cause < CAUSE_GAP || !source_lines_pass(SOURCE_LINE_TROUBLE, &session->client, &suppressed))
		return;
	log_error("cannot forward session %llu of %s exactly: %s; resetting it (%lu more suppressed)",
		  (unsigned long long)session->number, address_format(&session->client, client, sizeof(client)),
		  session_cause_name(session->cause), suppressed);
}

static void count_session(const struct session *session)
{
	struct counters *counters = &session->worker->counters;
	const struct flow *up = &session->flows[CLIENT], *down = &session->flows[BACKEND];
	char client[ADDRESS_TEXT_MAX];

	counters->causes[session->cause]++;
	counters->bytes_kernel += up->redirected + down->redirected;
	counters->bytes_user += up->forwarded + down->forwarded;
	counters->trimmed += up->trimmed + down->trimmed;
	log_debug("session %llu closed: client %s route %s cause=%s up_kernel=%llu up_user=%llu down_kernel=%llu "
		  "down_user=%llu trimmed=%llu ms=%llu",
		  (unsigned long long)session->number, address_format(&session->client, client, sizeof(client)),
		  route_name(session->route), session_cause_name(session->cause), (unsigned long long)up->redirected,
		  (unsigned long long)up->forwarded, (unsigned long long)down->redirected,
		  (unsigned long long)down->forwarded, (unsigned long long)(up->trimmed + down->trimmed),
		  (unsigned long long)(session->worker->now - session->started) / US_PER_MS);
	if (session->first_bytes.is_validation)
		validation_end(session);
	log_fault(session);
}

void session_sweep(struct session *session)
{
	struct worker *worker = session->worker;

	trace_settled(session);
	hint_unanswered(session);
	for (int side = CLIENT; side < SIDES; side++)
		side_close(session, (enum side)side, session->reset_sides);
	turn_leave(session); /* the next one comes to the responder after the end of this one */
	count_session(session);
	if (session->in_sources)
		source_table_leave(worker->engine->sources, &session->client);
	if (session->taken_over)
		takers_leave(worker->engine, &session->client);
	free(session->first_bytes.server_name);
	session->first_bytes.server_name = NULL;
	session->state = SESSION_FREE;
	leave_hello(session);
	configuration_leave(session->configuration);
	slots_give_back(&worker->slots, session);
}
