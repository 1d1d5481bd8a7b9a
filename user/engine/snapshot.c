// SPDX-License-Identifier: BSD-2-Clause
/* Snapshots: each worker fills its own, on its thread, when asked; the main thread adds them up. */
#include "engine/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/connect.h"
#include "engine/deadlines.h"
#include "engine/flow.h"
#include "engine/worker.h"

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

static void snapshot_fill(struct worker *worker, struct snapshot *snapshot, enum snapshot_kind kind)
{
	*snapshot = (struct snapshot){.counters = worker->counters};
	memcpy(snapshot->backends, worker->backends, sizeof(snapshot->backends));
	if (kind == SNAPSHOT_SESSIONS) {
		snapshot->sessions = calloc(slots_live(&worker->slots) + 1, sizeof(struct session_snapshot));
		snapshot->failed = snapshot->sessions == NULL;
	}
	for (unsigned int i = 0; i < worker->slots.ever_used; i++) {
		struct session *session = &worker->slots.sessions[i];

		if (!is_live(session))
			continue;
		snapshot->live++;
		snapshot->live_by_route[session->route]++;
		for (int side = CLIENT; side < SIDES; side++) {
			snapshot->counters.bytes_kernel += flow_load(&session->flows[side].redirected);
			snapshot->counters.bytes_user += flow_load(&session->flows[side].forwarded);
			snapshot->counters.trimmed += flow_load(&session->flows[side].trimmed);
		}
		if (snapshot->sessions)
			describe_session(session, &snapshot->sessions[snapshot->session_count++]);
	}
}

void snapshot_answer(struct worker *worker)
{
	int asked = atomic_load(&worker->asked);

	if (asked == SNAPSHOT_NONE)
		return;
	snapshot_fill(worker, &worker->snapshot, (enum snapshot_kind)asked);
	atomic_store(&worker->asked, SNAPSHOT_NONE);
	worker_answered(worker);
}

/* --- the main thread's side --- */

bool snapshot_is_complete(const struct engine *engine)
{
	for (unsigned int i = 0; i < engine->running; i++)
		if (worker_loops(&engine->workers[i]) != WORKER_ENDED &&
		    atomic_load(&engine->workers[i].asked) != SNAPSHOT_NONE)
			return false;
	return true;
}

static void snapshot_add(struct snapshot *sum, const struct snapshot *snapshot)
{
	counters_add(&sum->counters, &snapshot->counters);
	for (int route = 0; route < ROUTES; route++) {
		const struct backend_state *state = &snapshot->backends[route];

		sum->live_by_route[route] += snapshot->live_by_route[route];
		if (state->connected_at > sum->backends[route].connected_at)
			sum->backends[route].connected_at = state->connected_at;
		if (state->failed_at > sum->backends[route].failed_at) {
			sum->backends[route].failed_at = state->failed_at;
			sum->backends[route].error = state->error;
		}
	}
	sum->live += snapshot->live;
	sum->failed = sum->failed || snapshot->failed;
}

static void snapshot_add_sessions(struct snapshot *sum, struct snapshot *snapshot)
{
	struct session_snapshot *both =
		realloc(sum->sessions, (sum->session_count + snapshot->session_count + 1) * sizeof(*both));

	if (both) {
		if (snapshot->session_count)
			memcpy(both + sum->session_count, snapshot->sessions, snapshot->session_count * sizeof(*both));
		sum->sessions = both;
		sum->session_count += snapshot->session_count;
	} else {
		sum->failed = true;
	}
	free(snapshot->sessions);
	snapshot->sessions = NULL;
}

void snapshot_ask(struct engine *engine, enum snapshot_kind kind)
{
	for (unsigned int i = 0; i < engine->running; i++) {
		struct worker *worker = &engine->workers[i];

		/* A worker that did not answer the last time still has to. */
		if (worker_loops(worker) == WORKER_ENDED || atomic_load(&worker->asked) != SNAPSHOT_NONE)
			continue;
		snapshot_free(&worker->snapshot); /* an answer that came too late for its round */
		atomic_store(&worker->asked, (int)kind);
		worker_wake(worker);
	}
}

void snapshot_add_up(struct snapshot *sum, struct engine *engine, enum snapshot_kind kind)
{
	*sum = (struct snapshot){0};
	for (unsigned int i = 0; i < engine->running; i++) {
		struct worker *worker = &engine->workers[i];

		if (worker_loops(worker) == WORKER_ENDED) {
			snapshot_free(&worker->snapshot);
			snapshot_fill(worker, &worker->snapshot, kind);
		} else if (atomic_load(&worker->asked) != SNAPSHOT_NONE) {
			sum->failed = true;
			continue;
		}
		snapshot_add(sum, &worker->snapshot);
		if (kind != SNAPSHOT_SESSIONS)
			continue;
		if (worker->snapshot.sessions)
			snapshot_add_sessions(sum, &worker->snapshot);
		else /* its answer is to an earlier question */
			sum->failed = true;
	}
}

void snapshot_free(struct snapshot *snapshot)
{
	free(snapshot->sessions);
	snapshot->sessions = NULL;
}
