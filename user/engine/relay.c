// SPDX-License-Identifier: BSD-2-Clause
/*
 * The user-space path of an open session: which flow moves, what it waits for, how it ends. Runs on the thread of the
 * session's worker; the verdict may run at any moment.
 */
#include "engine/relay.h"

#include <errno.h>
#include <sys/socket.h>

#include "engine/deadlines.h"
#include "engine/flow.h"
#include "engine/in_flight.h"
#include "engine/promote.h"
#include "engine/side.h"
#include "engine/transfer.h"
#include "engine/worker.h"

#define ROUNDS_AT_ONCE 8 /* rounds of recv() and send() per flow and turn */

static bool relay_owes(const struct session *session, enum side from)
{
	const struct socket_side *source = &session->sides[from];
	const struct flow *flow = &session->flows[from];

	if (source->unsent)
		return true;
	/*
	 * A reset removes the socket from the map, and its psock with bytes that were passed but not read
	 * (sock_map_unhash).
	 */
	if (!source->in_map || source->broken)
		return source->readable;
	return source->fin_seen || flow_load(&flow->passed) != flow->forwarded;
}

/* Redirected bytes are still in flight: waits. False if they are lost, which ended the session. */
static bool wait_for_in_flight(struct session *session, enum side from)
{
	if (in_flight_is_lost(session, from)) {
		session_end(session, CAUSE_LOST, true);
		return false;
	}
	session_look_again(session);
	return true;
}

/* recv() returned 0. Passes the end on once nothing is owed or in flight. False if that ended the session. */
static bool relay_end_flow(struct session *session, enum side from)
{
	struct socket_side *source = &session->sides[from], *target = &session->sides[!from];
	const struct flow *flow = &session->flows[from];

	if ((source->in_map && flow_load(&flow->passed) != flow->forwarded) || !in_flight_is_empty(session, from))
		return wait_for_in_flight(session, from);
	/* The second end closes both sockets, which sends the FIN. */
	if (!target->read_ended && shutdown(target->fd, SHUT_WR))
		return side_fail(session, !from, -errno);
	source->read_ended = true;
	if (source == &session->sides[BACKEND] && !target->read_ended && !target->fin_seen)
		session->backend_first = true;
	return true;
}

/* Ends the session once the other side has acknowledged everything from a broken side. */
static bool relay_end_broken(struct session *session, enum side from)
{
	if (!in_flight_is_empty(session, from) || in_flight_unacknowledged(&session->sides[!from]))
		return true;
	session_reset(session, from);
	return false;
}

/* Has the peer of a broken side acknowledged nothing for DEADLINE_LINGER_US? */
static bool has_lingered(struct session *session, enum side side)
{
	uint64_t left = in_flight_unacknowledged(&session->sides[!side]), now = session->worker->now;

	if (!session->lingering.since || left != session->lingering.left) {
		session->lingering.since = now;
		session->lingering.left = left;
	}
	return now - session->lingering.since > DEADLINE_LINGER_US;
}

/* False if the session has ended. */
static bool relay_flow(struct session *session, enum side from)
{
	struct socket_side *source = &session->sides[from], *target = &session->sides[!from];

	if (target->broken)
		return true;
	if (source->read_ended)
		return !source->broken || relay_end_broken(session, from);
	for (int round = 0; relay_owes(session, from); round++) {
		if (target->blocked)
			return true;
		if (!in_flight_is_empty(session, from))
			return wait_for_in_flight(session, from);
		if (round == ROUNDS_AT_ONCE) {
			worker_mark(session);
			return true;
		}
		switch (transfer_some(session, from)) {
		case MOVED_SOME:
			continue;
		case MOVED_NOTHING:
			return true;
		case MOVED_END:
			return source->broken ? relay_end_broken(session, from) : relay_end_flow(session, from);
		case MOVED_FAILED:
			return false;
		}
	}
	return true;
}

void relay_progress(struct session *session)
{
	const struct socket_side *sides = session->sides;

	for (int side = CLIENT; side < SIDES; side++)
		if (!side_check(session, (enum side)side))
			return;
	for (int side = CLIENT; side < SIDES; side++) {
		if (sides[side].broken && has_lingered(session, (enum side)side)) {
			session_reset(session, (enum side)side);
			return;
		}
		if (!relay_flow(session, (enum side)side))
			return;
		if (sides[side].broken) /* no event shows an acknowledgement */
			session_look_again(session);
	}
	if (sides[CLIENT].read_ended && sides[BACKEND].read_ended)
		session_end(session, CAUSE_DONE, false);
	else if (promote_is_due(session))
		promote_session(session);
}

bool relay_holds_bytes(const struct session *session)
{
	for (int side = CLIENT; side < SIDES; side++)
		if (relay_owes(session, (enum side)side) || in_flight_unacknowledged(&session->sides[side]))
			return true;
	return false;
}
