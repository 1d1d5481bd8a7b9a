// SPDX-License-Identifier: BSD-2-Clause
/*
 * What any part of the engine may do to a session: run it again later, or end it. lifecycle.c has its states. Runs on
 * the thread of the session's worker.
 */
#include "engine/session.h"

#include "engine/configuration.h"
#include "engine/worker.h"

#define LOOK_FIRST_US 50                /* the kernel's backlog worker has usually finished by then */
#define LOOK_LAST_US  (100 * US_PER_MS) /* a stalled peer costs ten looks per second at most */

const struct options *session_options(const struct session *session)
{
	return &session->configuration->options;
}

const struct endpoint *session_backend(const struct session *session)
{
	return &session_options(session)->backends[session->connecting.aim];
}

void session_look_again(struct session *session)
{
	uint64_t delay = session->retry_delay ? 2 * session->retry_delay : LOOK_FIRST_US;

	session->retry_delay = delay < LOOK_LAST_US ? delay : LOOK_LAST_US;
	timer_set(&session->worker->timers, &session->retry, session->worker->now + session->retry_delay);
}

void session_end(struct session *session, enum session_cause cause, bool hard)
{
	struct worker *worker = session->worker;

	if (session->state == SESSION_CLOSING)
		return;
	session->state = SESSION_CLOSING;
	session->cause = cause;
	session->reset_sides = hard;
	timer_cancel(&worker->timers, &session->deadline);
	timer_cancel(&worker->timers, &session->retry);
	session->next_closing = worker->closing;
	worker->closing = session;
}

void session_reset(struct session *session, enum side side)
{
	session_end(session, side == CLIENT ? CAUSE_CLIENT_RESET : CAUSE_BACKEND_RESET, true);
}

bool session_follows_client(const struct session *session)
{
	return session->connecting.aim == ROUTE_HTTPS && session->destination.len;
}
