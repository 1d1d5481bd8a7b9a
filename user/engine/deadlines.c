// SPDX-License-Identifier: BSD-2-Clause
/* The deadlines of a session: see deadlines.h. Runs on the thread of the session's worker. */
#include "engine/deadlines.h"

#include "engine/connect.h"
#include "engine/flow.h"
#include "engine/in_flight.h"
#include "engine/worker.h"

#define OWN_ADDRESS_US (500 * US_PER_MS)
#define IDLE_LOOKS     4                   /* checks per --idle-timeout */
#define ANSWER_US      (15000 * US_PER_MS) /* CAs give up after 10 s */

void deadline_at(struct session *session, uint64_t due)
{
	timer_set(&session->worker->timers, &session->deadline, due);
}

void deadline_for_hello(struct session *session)
{
	deadline_at(session, session->started + session_options(session)->hello_timeout_ms * US_PER_MS);
}

static uint64_t acme_timeout(const struct session *session)
{
	return session_options(session)->acme_timeout_ms * US_PER_MS;
}

uint64_t deadline_of_answer(const struct session *session)
{
	return session->started + (acme_timeout(session) > ANSWER_US ? acme_timeout(session) : ANSWER_US);
}

uint64_t deadline_of_validation(const struct session *session, uint64_t answered_at)
{
	return answered_at + acme_timeout(session);
}

void deadline_for_fallback(struct session *session)
{
	deadline_at(session, session->worker->now + acme_timeout(session));
}

void deadline_for_idleness(struct session *session)
{
	uint64_t timeout = session_options(session)->idle_timeout_ms * US_PER_MS;

	if (timeout)
		deadline_at(session, session->worker->now + timeout / IDLE_LOOKS);
	else
		deadline_for_nothing(session);
}

void deadline_for_nothing(struct session *session)
{
	timer_cancel(&session->worker->timers, &session->deadline);
}

uint64_t deadline_of_connecting(const struct session *session)
{
	return session->worker->now + session_options(session)->connect_timeout_ms * US_PER_MS;
}

uint64_t deadline_of_attempt(const struct session *session, uint64_t connecting, unsigned int left)
{
	uint64_t now = session->worker->now;

	/* To an address of this machine it takes no time, unless a packet filter drops it. */
	if (session_follows_client(session) && left > 1 && connecting > now + OWN_ADDRESS_US)
		return now + OWN_ADDRESS_US;
	return connecting > now ? now + (connecting - now) / left : now;
}

/* A number that changes whenever a byte moves. */
static uint64_t activity_of(const struct session *session)
{
	uint64_t sum = 0;

	for (int side = CLIENT; side < SIDES; side++) {
		const struct flow *flow = &session->flows[side];

		/* Bytes that leave a send buffer count too. Arrivals count double, so that the two never cancel out. */
		sum += 2 * (flow_arrived(flow) + flow->forwarded) - in_flight_unacknowledged(&session->sides[side]);
	}
	return sum;
}

void deadline_look_at_activity(struct session *session)
{
	uint64_t activity = activity_of(session);

	if (activity == session->idle.activity)
		return;
	session->idle.activity = activity;
	session->idle.since = session->worker->now;
}

bool deadline_is_idle(struct session *session)
{
	deadline_look_at_activity(session);
	return session->worker->now - session->idle.since >= session_options(session)->idle_timeout_ms * US_PER_MS;
}
