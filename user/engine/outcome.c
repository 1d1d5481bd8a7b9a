// SPDX-License-Identifier: BSD-2-Clause
/* The names of outcomes. Owns nothing; any thread. */
#include "engine/outcome.h"

const char *session_cause_name(enum session_cause cause)
{
	static const char *const names[CAUSES] = {
		[CAUSE_DONE] = "done",
		[CAUSE_CLIENT_LEFT] = "client_left",
		[CAUSE_CLIENT_RESET] = "client_reset",
		[CAUSE_BACKEND_RESET] = "backend_reset",
		[CAUSE_HELLO_SILENT] = "hello_silent",
		[CAUSE_CONNECT_FAILED] = "connect_failed",
		[CAUSE_IDLE_TIMEOUT] = "idle_timeout",
		[CAUSE_ACME_TIMEOUT] = "acme_timeout",
		[CAUSE_ACME_SILENT] = "acme_silent",
		[CAUSE_ACME_UNSERVED] = "acme_unserved",
		[CAUSE_SHUTDOWN] = "shutdown",
		[CAUSE_GAP] = "gap",
		[CAUSE_TRIM] = "trim",
		[CAUSE_REDIRECT] = "redirect",
		[CAUSE_LOST] = "lost",
		[CAUSE_LOCAL_ERROR] = "local_error",
	};

	return names[cause];
}

const char *validation_outcome_name(enum validation_outcome outcome)
{
	static const char *const names[VALIDATIONS] = {
		[VALIDATION_SEEN_THROUGH] = "seen_through", [VALIDATION_CLIENT_CLOSED] = "client_closed",
		[VALIDATION_CLIENT_RESET] = "client_reset", [VALIDATION_RESPONDER_RESET] = "responder_reset",
		[VALIDATION_NO_ANSWER] = "no_answer",       [VALIDATION_REFUSED] = "refused",
		[VALIDATION_FALLBACK] = "fallback",         [VALIDATION_TIMED_OUT] = "timed_out",
		[VALIDATION_GAVE_UP] = "gave_up",           [VALIDATION_SILENT] = "silent",
		[VALIDATION_UNSERVED] = "unserved",         [VALIDATION_FAILED] = "failed",
	};

	return names[outcome];
}
