// SPDX-License-Identifier: BSD-2-Clause
/*
 * The outcome of a validation, one log line each: the line that operators look for when a certificate was not issued.
 * Owns nothing. Runs on the thread of the session's worker.
 */
#include "engine/validation.h"

#include <stddef.h>

#include "base/log.h"
#include "engine/worker.h"

/* NULL: the session's cause is logged instead. */
static const char *const clauses[VALIDATIONS] = {
	[VALIDATION_SEEN_THROUGH] = "completed",
	[VALIDATION_CLIENT_CLOSED] = "closed by the client",
	[VALIDATION_CLIENT_RESET] = "reset by the client before an answer",
	[VALIDATION_RESPONDER_RESET] = "reset by the ACME responder",
	[VALIDATION_NO_ANSWER] = "closed by the ACME responder without an answer",
	[VALIDATION_REFUSED] = "refused by the ACME responder",
	[VALIDATION_FALLBACK] = "ACME responder unreachable, handed to the web server",
	[VALIDATION_TIMED_OUT] = "cut off by --acme-timeout",
	[VALIDATION_FAILED] = NULL,
};

static uint64_t bytes_from(const struct session *session, enum side side)
{
	return session->flows[side].redirected + session->flows[side].forwarded;
}

static enum validation_outcome outcome_of(const struct session *session)
{
	if (session->cause == CAUSE_ACME_TIMEOUT)
		return VALIDATION_TIMED_OUT;
	if (session->cause == CAUSE_CONNECT_FAILED)
		return VALIDATION_REFUSED;
	if (session->route == ROUTE_HTTPS)
		return VALIDATION_FALLBACK;
	if (session->cause == CAUSE_CLIENT_RESET) /* validators do that once they have seen the certificate */
		return bytes_from(session, BACKEND) ? VALIDATION_CLIENT_CLOSED : VALIDATION_CLIENT_RESET;
	if (session->cause == CAUSE_BACKEND_RESET)
		return VALIDATION_RESPONDER_RESET;
	if (session->cause != CAUSE_DONE)
		return VALIDATION_FAILED;
	return bytes_from(session, BACKEND) ? VALIDATION_SEEN_THROUGH : VALIDATION_NO_ANSWER;
}

void validation_end(const struct session *session)
{
	enum validation_outcome outcome = outcome_of(session);
	char client[ADDRESS_TEXT_MAX];
	double seconds = (double)(session->worker->now - session->started) / 1e6;

	session->worker->counters.validations[outcome]++;
	log_info("acme validation of %s for %s: %s after %.3f s (%llu bytes up, %llu down)",
		 session->first_bytes.server_name ? session->first_bytes.server_name : "(no server name)",
		 address_format(&session->client, client, sizeof(client)),
		 clauses[outcome] ? clauses[outcome] : session_cause_name(session->cause), seconds,
		 (unsigned long long)bytes_from(session, CLIENT), (unsigned long long)bytes_from(session, BACKEND));
}
