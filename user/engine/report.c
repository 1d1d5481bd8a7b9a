// SPDX-License-Identifier: BSD-2-Clause
/* Reports of workers: filled by each on its own thread, asked for and added up by the main thread. */
#include "engine/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/connect.h"
#include "base/log.h"
#include "engine/flow.h"
#include "engine/lifecycle.h"
#include "engine/worker.h"

/* --- the worker's side --- */

static void describe_session(struct session *session, struct session_report *out)
{
	uint64_t now = session->worker->now;

	*out = (struct session_report){
		.number = session->number,
		.state = session->state,
		.route = session->route,
		.client = session->client,
		.age = now - session->started,
		.in_kernel = session->sides[CLIENT].in_map && session->sides[BACKEND].in_map,
	};
	if (session->state == SESSION_OPEN)
		session_look_at_activity(session);
	out->idle = now - session->idle.since;
	if (session->sides[BACKEND].fd >= 0)
		out->backend = connect_address(session);
	for (int side = CLIENT; side < SIDES; side++) {
		const struct flow *flow = &session->flows[side];

		/* In this order: a byte passed in between is owed, never less than none. */
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

static void fill(struct worker *worker, struct report *report, enum report_kind kind)
{
	*report = (struct report){.counters = worker->counters};
	memcpy(report->backends, worker->backends, sizeof(report->backends));
	if (kind == REPORT_SESSIONS) {
		report->sessions = calloc(worker->slots.live ? worker->slots.live : 1, sizeof(struct session_report));
		report->failed = report->sessions == NULL;
	}
	for (unsigned int i = 0; i < worker->slots.ever_used; i++) {
		struct session *session = &worker->slots.sessions[i];

		if (!is_live(session))
			continue;
		report->live++;
		report->live_by_route[session->route]++;
		for (int side = CLIENT; side < SIDES; side++) {
			report->counters.bytes_kernel += flow_load(&session->flows[side].redirected);
			report->counters.bytes_user += flow_load(&session->flows[side].forwarded);
			report->counters.trimmed += flow_load(&session->flows[side].trimmed);
		}
		if (report->sessions)
			describe_session(session, &report->sessions[report->session_count++]);
	}
}

void report_answer(struct worker *worker)
{
	int asked = atomic_load(&worker->asked);

	if (asked == REPORT_NONE)
		return;
	fill(worker, &worker->report, (enum report_kind)asked);
	atomic_store(&worker->asked, REPORT_NONE);
	worker_answered(worker);
}

/* --- the main thread's side --- */

bool report_is_complete(const struct engine *engine)
{
	for (unsigned int i = 0; i < engine->running; i++)
		if (worker_loops(&engine->workers[i]) != WORKER_ENDED &&
		    atomic_load(&engine->workers[i].asked) != REPORT_NONE)
			return false;
	return true;
}

static void add(struct report *sum, const struct report *report)
{
	counters_add(&sum->counters, &report->counters);
	for (int route = 0; route < ROUTES; route++) {
		const struct backend_state *state = &report->backends[route];

		sum->live_by_route[route] += report->live_by_route[route];
		if (state->connected_at > sum->backends[route].connected_at)
			sum->backends[route].connected_at = state->connected_at;
		if (state->failed_at > sum->backends[route].failed_at) {
			sum->backends[route].failed_at = state->failed_at;
			sum->backends[route].error = state->error;
		}
	}
	sum->live += report->live;
	sum->failed = sum->failed || report->failed;
}

static void take_sessions(struct report *sum, struct report *report)
{
	struct session_report *both =
		realloc(sum->sessions, (sum->session_count + report->session_count + 1) * sizeof(*both));

	if (both) {
		if (report->session_count)
			memcpy(both + sum->session_count, report->sessions, report->session_count * sizeof(*both));
		sum->sessions = both;
		sum->session_count += report->session_count;
	} else {
		sum->failed = true;
	}
	free(report->sessions);
	report->sessions = NULL;
}

void report_ask(struct engine *engine, enum report_kind kind)
{
	for (unsigned int i = 0; i < engine->running; i++) {
		struct worker *worker = &engine->workers[i];

		/* One that did not answer in time last time is still asked. */
		if (worker_loops(worker) == WORKER_ENDED || atomic_load(&worker->asked) != REPORT_NONE)
			continue;
		report_free(&worker->report); /* an answer that came too late */
		atomic_store(&worker->asked, (int)kind);
		worker_wake(worker);
	}
}

void report_add_up(struct report *sum, struct engine *engine, enum report_kind kind)
{
	*sum = (struct report){0};
	for (unsigned int i = 0; i < engine->running; i++) {
		struct worker *worker = &engine->workers[i];

		if (worker_loops(worker) == WORKER_ENDED) {
			report_free(&worker->report);
			fill(worker, &worker->report, kind);
		} else if (atomic_load(&worker->asked) != REPORT_NONE) {
			sum->failed = true;
			continue;
		}
		add(sum, &worker->report);
		if (kind != REPORT_SESSIONS)
			continue;
		if (worker->report.sessions)
			take_sessions(sum, &worker->report);
		else /* it answered what it was asked before */
			sum->failed = true;
	}
}

void report_free(struct report *report)
{
	free(report->sessions);
	report->sessions = NULL;
}
