// SPDX-License-Identifier: BSD-2-Clause
/*
 * The outcome of a validation, one log line each, unless one network has very many: the line that operators look for
 * when a certificate was not issued.
 * Owns nothing. Runs on the thread of the session's worker.
 */
#include "engine/validation.h"

#include <stddef.h>
#include <stdio.h>

#include "base/log.h"
#include "engine/source_lines.h"
#include "engine/turn.h"
#include "engine/worker.h"

/* NULL: the session's cause is logged instead. */
static const char *const clauses[VALIDATIONS] = {
	[VALIDATION_SEEN_THROUGH] = "completed",
	[VALIDATION_CLIENT_CLOSED] = "closed by the client, which said nothing after the answer",
	[VALIDATION_CLIENT_RESET] = "reset by the client before an answer",
	[VALIDATION_RESPONDER_RESET] = "reset by the ACME responder before its end",
	[VALIDATION_NO_ANSWER] = "closed by the ACME responder without an answer",
	[VALIDATION_REFUSED] = "refused by the ACME responder",
	[VALIDATION_FALLBACK] = "ACME responder unreachable, handed to the web server",
	[VALIDATION_TIMED_OUT] = "cut off by --acme-timeout",
	[VALIDATION_GAVE_UP] = "given up by the client before an answer",
	[VALIDATION_SILENT] = "cut off because the client kept the ACME responder from others",
	[VALIDATION_UNSERVED] = "cut off before its turn: the ACME responder is busy with others",
	[VALIDATION_FAILED] = NULL,
};

static uint64_t bytes_from(const struct session *session, enum side side)
{
	return session->flows[side].redirected + session->flows[side].forwarded;
}

/* Of one that the responder served, or did not. */
static enum validation_outcome outcome_at_end(const struct session *session)
{
	bool reset = session->cause == CAUSE_CLIENT_RESET || session->cause == CAUSE_BACKEND_RESET;

	/* Both close as they like once the client has seen the certificate: with a FIN, or by a reset. */
	if (turn_was_replied_to(session))
		return VALIDATION_SEEN_THROUGH;
	if (session->cause == CAUSE_BACKEND_RESET)
		return VALIDATION_RESPONDER_RESET;
	if (turn_was_answered(session))
		return VALIDATION_CLIENT_CLOSED;
	if (reset)
		return VALIDATION_CLIENT_RESET;
	return session->backend_first ? VALIDATION_NO_ANSWER : VALIDATION_GAVE_UP;
}

static enum validation_outcome outcome_of(const struct session *session)
{
	switch (session->cause) {
	case CAUSE_ACME_TIMEOUT:
		return VALIDATION_TIMED_OUT;
	case CAUSE_ACME_SILENT:
		return VALIDATION_SILENT;
	case CAUSE_ACME_UNSERVED:
		return VALIDATION_UNSERVED;
	case CAUSE_CONNECT_FAILED:
		return VALIDATION_REFUSED;
	case CAUSE_DONE:
	case CAUSE_CLIENT_LEFT:
	case CAUSE_CLIENT_RESET:
	case CAUSE_BACKEND_RESET:
		return session->route == ROUTE_HTTPS ? VALIDATION_FALLBACK : outcome_at_end(session);
	default:
		return session->route == ROUTE_HTTPS ? VALIDATION_FALLBACK : VALIDATION_FAILED;
	}
}

static void log_outcome(const struct session *session, enum validation_outcome outcome)
{
	char client[ADDRESS_TEXT_MAX], others[64] = "";
	double seconds = (double)(session->worker->now - session->started) / 1e6;
	unsigned long left_out;

	if (!source_lines_pass(SOURCE_LINE_VALIDATION, &session->client, &left_out))
		return;
	if (left_out)
		snprintf(others, sizeof(others), "; %lu others were not logged", left_out);
	log_info("acme validation of %s for %s: %s after %.3f s (%llu bytes up, %llu down)%s",
		 session->first_bytes.server_name ? session->first_bytes.server_name : "(no server name)",
		 address_format(&session->client, client, sizeof(client)),
		 clauses[outcome] ? clauses[outcome] : session_cause_name(session->cause), seconds,
		 (unsigned long long)bytes_from(session, CLIENT), (unsigned long long)bytes_from(session, BACKEND),
		 others);
}

void validation_end(const struct session *session)
{
	enum validation_outcome outcome = outcome_of(session);

	session->worker->counters.validations[outcome]++;
	log_outcome(session, outcome);
}
