// SPDX-License-Identifier: BSD-2-Clause
/* Moves a session from user space into the map: see promote.h. Runs on the thread of the session's worker. */
#include "engine/promote.h"

#include "dataplane/dataplane.h"
#include "engine/flow.h"
#include "engine/side.h"
#include "engine/worker.h"

#define TURNS 32 /* that make a conversation */
#define FEW   3  /* conversations at a time that are worth promoting */

/* Everything is read and sent, and the stream goes on. The next bytes are a whole segment (docs/KERNEL.md 1 and 5). */
static bool is_quiet(const struct socket_side *sock)
{
	return sock->is_tcp && sock->connected && !sock->in_map && !sock->readable && !sock->unsent && !sock->blocked &&
	       !sock->fin_seen && !sock->read_ended && !sock->urgent && !sock->broken && !sock->poll_error;
}

void promote_count(struct session *session, enum side from)
{
	struct worker *worker = session->worker;

	if (session->conversation.turns && session->conversation.last_from == from)
		return;
	/* With n conversations at a time, the worker counts n turns while this one counts one. */
	if (session->conversation.turns == TURNS && worker->turns - session->conversation.since > (uint64_t)TURNS * FEW)
		session->conversation.turns = 0;
	if (session->conversation.turns == 0)
		session->conversation.since = worker->turns;
	session->conversation.last_from = from;
	session->conversation.turns += session->conversation.turns < TURNS;
	worker->turns++;
}

bool promote_is_due(const struct session *session)
{
	const struct worker *worker = session->worker;

	return session->conversation.turns == TURNS && !session->conversation.promoted &&
	       session->state == SESSION_OPEN && worker->turns - session->conversation.since <= (uint64_t)TURNS * FEW &&
	       session_options(session)->dataplane == DATAPLANE_AUTO &&
	       dataplane_has_verdict(&worker->engine->dataplane) && is_quiet(&session->sides[CLIENT]) &&
	       is_quiet(&session->sides[BACKEND]);
}

/* Runs bytes that arrived before the insertion through the verdict. */
static bool kick_or_fail(struct session *session, enum side side)
{
	int error = side_kick(session, side);

	return !error || side_fail(session, side, error);
}

void promote_session(struct session *session)
{
	enum flow_mode mode;

	session->conversation.promoted = true;
	for (int side = CLIENT; side < SIDES; side++) {
		struct flow *flow = &session->flows[side];

		/* No verdict runs yet, so its cache line may be written: forwarded bytes count as passed. */
		flow->passed = flow->forwarded;
		flow_set_mode(flow, FLOW_HELD);
	}
	side_insert(session, CLIENT);
	side_insert(session, BACKEND);
	mode = session->sides[CLIENT].in_map && session->sides[BACKEND].in_map ? FLOW_LIVE : FLOW_USER;
	for (int side = CLIENT; side < SIDES; side++) {
		flow_set_mode(&session->flows[side], mode);
		if (!side_poll_or_end(session, (enum side)side))
			return;
	}
	if (kick_or_fail(session, CLIENT) && kick_or_fail(session, BACKEND))
		worker_mark(session);
}
