// SPDX-License-Identifier: BSD-2-Clause
/* From user space into the map, in the middle of a session. Runs on the thread of the session's worker. */
#include "engine/promote.h"

#include <string.h>

#include "dataplane/dataplane.h"
#include "base/log.h"
#include "engine/flow.h"
#include "engine/side.h"
#include "engine/worker.h"

#define TURNS 32 /* before it is a conversation */
#define FEW   3  /* conversations of a worker at a time */

/* Everything read and sent, and no end in sight. What comes from now on is a whole segment (docs/KERNEL.md 1 and 5). */
static bool is_quiet(const struct end *end)
{
	return end->is_tcp && end->connected && !end->in_map && !end->readable && !end->held && !end->blocked &&
	       !end->fin_seen && !end->read_ended && !end->urgent && !end->broken && !end->poll_error;
}

void promote_count(struct session *session, enum side from)
{
	struct worker *worker = session->worker;

	if (session->turns && session->last_from == from)
		return;
	/* With n of them at a time, the worker counts n turns while this one counts one. */
	if (session->turns == TURNS && worker->turns - session->turns_since > (uint64_t)TURNS * FEW)
		session->turns = 0;
	if (session->turns == 0)
		session->turns_since = worker->turns;
	session->last_from = from;
	session->turns += session->turns < TURNS;
	worker->turns++;
}

bool promote_is_due(const struct session *session)
{
	const struct worker *worker = session->worker;

	return session->turns == TURNS && !session->promoted && session->state == SESSION_OPEN &&
	       worker->turns - session->turns_since <= (uint64_t)TURNS * FEW &&
	       session->configuration->options.dataplane == DATAPLANE_AUTO &&
	       dataplane_has_verdict(&worker->engine->dataplane) && is_quiet(&session->ends[CLIENT]) &&
	       is_quiet(&session->ends[BACKEND]);
}

static void insert_side(struct session *session, enum side side)
{
	struct end *end = &session->ends[side];
	int error = dataplane_insert(&session->worker->engine->dataplane, SIDE_KEY(session->slot, side), end->fd,
				     &end->cookie);

	end->in_map = error == 0;
	end->readable = !end->in_map;
	if (error)
		log_debug("session %llu stays in user space: %s", (unsigned long long)session->number,
			  strerror(-error));
}

/* What came before the insertion goes through the verdict now. */
static bool kick_side(struct session *session, enum side side)
{
	int error = session->ends[side].in_map ? dataplane_kick(session->ends[side].fd) : 0;

	return !error || side_fail(session, side, error);
}

void promote_session(struct session *session)
{
	enum flow_mode mode;

	session->promoted = true;
	for (int side = CLIENT; side < SIDES; side++) {
		struct flow *flow = &session->flows[side];

		/* No verdict runs yet: its line is ours for the last time. What was forwarded counts as passed before.
		 */
		flow->passed = flow->forwarded;
		flow_set_mode(flow, FLOW_HELD);
	}
	insert_side(session, CLIENT);
	insert_side(session, BACKEND);
	mode = session->ends[CLIENT].in_map && session->ends[BACKEND].in_map ? FLOW_LIVE : FLOW_USER;
	for (int side = CLIENT; side < SIDES; side++) {
		flow_set_mode(&session->flows[side], mode);
		if (worker_watch(session, (enum side)side, side_events(session, (enum side)side), true)) {
			session_end(session, CAUSE_LOCAL_ERROR, true);
			return;
		}
	}
	if (kick_side(session, CLIENT) && kick_side(session, BACKEND))
		worker_mark(session);
}
