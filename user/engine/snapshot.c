// SPDX-License-Identifier: BSD-2-Clause
/* Snapshots: each worker fills its own, on its thread, when asked; the main thread checks them and adds them up. */
#include "engine/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/connect.h"
#include "engine/deadlines.h"
#include "engine/flow.h"
#include "engine/shared.h"
#include "engine/worker.h"

#define ERRORS 4096 /* of the kernel, at most */

/* --- the worker's side --- */

static void describe_session(struct session *session, struct session_snapshot *out)
{
	uint64_t now = session->worker->now;

	*out = (struct session_snapshot){
		.number = session->number,
		.state = session->state,
		.route = session->route,
		.client = session->client,
		.age = now - session->started,
		.in_kernel = session->sides[CLIENT].in_map && session->sides[BACKEND].in_map,
	};
	if (session->state == SESSION_OPEN)
		deadline_look_at_activity(session);
	out->idle = now - session->idle.since;
	if (session->sides[BACKEND].fd >= 0)
		out->backend = connect_address(session);
	for (int side = CLIENT; side < SIDES; side++) {
		const struct flow *flow = &session->flows[side];

		/* In this order, so that a byte passed in between makes the result larger, never negative. */
		out->forwarded[side] = flow_load(&flow->forwarded);
		out->owed[side] = session->sides[side].in_map ? flow_load(&flow->passed) - out->forwarded[side] : 0;
		out->owed[side] += session->sides[side].unsent_end - session->sides[side].unsent_at;
		out->redirected[side] = flow_load(&flow->redirected);
	}
	if (session->first_bytes.server_name)
		snprintf(out->server_name, sizeof(out->server_name), "%s", session->first_bytes.server_name);
}

static bool is_live(const struct session *session)
{
	return session->state != SESSION_FREE && session->state != SESSION_CLOSING;
}

size_t snapshot_list_bytes(const struct worker *worker)
{
	return worker->engine->slots_per_worker * sizeof(struct session_snapshot);
}

static void fill_answer(struct worker *worker, struct snapshot_answer *answer, enum snapshot_kind kind)
{
	*answer = (struct snapshot_answer){.counters = worker->counters, .kind = (int)kind};
	memcpy(answer->backends, worker->backends, sizeof(answer->backends));
	for (unsigned int i = 0; i < worker->slots.ever_used; i++) {
		struct session *session = &worker->slots.sessions[i];

		if (!is_live(session))
			continue;
		answer->live++;
		answer->live_by_route[session->route]++;
		for (int side = CLIENT; side < SIDES; side++) {
			answer->descriptors += session->sides[side].fd >= 0;
			answer->counters.bytes_kernel += flow_load(&session->flows[side].redirected);
			answer->counters.bytes_user += flow_load(&session->flows[side].forwarded);
			answer->counters.trimmed += flow_load(&session->flows[side].trimmed);
		}
		if (kind == SNAPSHOT_SESSIONS)
			describe_session(session, &worker->list[answer->session_count++]);
	}
}

void snapshot_answer(struct worker *worker)
{
	int asked = atomic_load(&worker->shared->asked);

	if (asked == SNAPSHOT_NONE)
		return;
	fill_answer(worker, &worker->shared->answer, (enum snapshot_kind)asked);
	atomic_store(&worker->shared->asked, SNAPSHOT_NONE);
	worker_answered(worker);
}

void snapshot_last(struct worker *worker)
{
	fill_answer(worker, &worker->shared->last, SNAPSHOT_COUNTERS);
}

/* --- the main thread's side --- */

static bool has_ended(const struct worker *worker)
{
	return worker_loops(worker) == WORKER_ENDED;
}

static bool owes_answer(const struct worker *worker)
{
	return !has_ended(worker) && atomic_load(&worker->shared->asked) != SNAPSHOT_NONE;
}

bool snapshot_is_complete(const struct engine *engine)
{
	for (unsigned int i = 0; i < engine->running; i++)
		if (owes_answer(&engine->workers[i]))
			return false;
	return true;
}

static bool is_error(int error)
{
	return error <= 0 && error > -ERRORS;
}

static void add_answer(struct snapshot *sum, const struct snapshot_answer *answer)
{
	counters_add(&sum->counters, &answer->counters);
	for (int route = 0; route < ROUTES; route++) {
		const struct backend_state *state = &answer->backends[route];

		sum->live_by_route[route] += answer->live_by_route[route];
		if (state->connected_at > sum->backends[route].connected_at)
			sum->backends[route].connected_at = state->connected_at;
		if (state->failed_at > sum->backends[route].failed_at && is_error(state->error)) {
			sum->backends[route].failed_at = state->failed_at;
			sum->backends[route].error = state->error;
		}
	}
	sum->live += answer->live;
	sum->descriptors += answer->descriptors;
}

bool session_snapshot_is_sound(const struct session_snapshot *session)
{
	return (unsigned int)session->state <= SESSION_CLOSING && (unsigned int)session->route < ROUTES &&
	       address_is_sound(&session->client) && (!session->backend.len || address_is_sound(&session->backend)) &&
	       hello_is_name(session->server_name, sizeof(session->server_name));
}

/* Copies the list first: the worker may still write it. */
static void add_sessions(struct snapshot *sum, struct worker *worker, size_t count)
{
	struct session_snapshot *both = realloc(sum->sessions, (sum->session_count + count + 1) * sizeof(*both));
	size_t kept;

	if (!both) {
		sum->failed = true;
		return;
	}
	memcpy(both + sum->session_count, worker->list, count * sizeof(*both));
	kept = sum->session_count;
	for (size_t i = kept; i < sum->session_count + count; i++) {
		if (session_snapshot_is_sound(&both[i]))
			both[kept++] = both[i];
		else
			shared_is_unsound("the description of a session");
	}
	sum->sessions = both;
	sum->session_count = kept;
	shared_clear(worker->list, snapshot_list_bytes(worker));
}

void snapshot_ask(struct engine *engine, enum snapshot_kind kind)
{
	for (unsigned int i = 0; i < engine->running; i++) {
		struct worker *worker = &engine->workers[i];

		/* A worker that did not answer the last time still has to. */
		if (has_ended(worker) || owes_answer(worker))
			continue;
		atomic_store(&worker->shared->asked, (int)kind);
		worker_wake(worker);
	}
}

void snapshot_add_up(struct snapshot *sum, struct engine *engine, enum snapshot_kind kind)
{
	*sum = (struct snapshot){.descriptors = atomic_load(&engine->shared->descriptors)};
	for (unsigned int i = 0; i < engine->running; i++) {
		struct worker *worker = &engine->workers[i];
		bool ended = has_ended(worker);
		struct snapshot_answer answer;

		if (owes_answer(worker)) {
			sum->failed = true;
			continue;
		}
		answer = worker_has_said_last(worker) ? worker->shared->last : worker->shared->answer;
		add_answer(sum, &answer);
		if (kind != SNAPSHOT_SESSIONS || ended)
			continue;
		if (answer.kind == SNAPSHOT_SESSIONS && answer.session_count <= engine->slots_per_worker)
			add_sessions(sum, worker, answer.session_count);
		else /* its answer is to an earlier question */
			sum->failed = true;
	}
}

void snapshot_free(struct snapshot *snapshot)
{
	free(snapshot->sessions);
	snapshot->sessions = NULL;
}
