/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a session ends, and the outcome of an ACME validation, with their names in log lines, status and metrics. Owns
 * nothing; any thread.
 */
#ifndef ALPNBPF_ENGINE_OUTCOME_H
#define ALPNBPF_ENGINE_OUTCOME_H

/* How a session ended. Each is a counter, and the `cause` in the debug log. */
enum session_cause {
	CAUSE_DONE,           /* both flows ended in order */
	CAUSE_CLIENT_LEFT,    /* FIN before the first byte, or before the responder had a turn for it */
	CAUSE_CLIENT_RESET,   /* by the client; the backend was reset too */
	CAUSE_BACKEND_RESET,  /* by the backend; the client was reset too */
	CAUSE_HELLO_SILENT,   /* --hello-timeout without a byte */
	CAUSE_CONNECT_FAILED, /* no backend within --connect-timeout */
	CAUSE_IDLE_TIMEOUT,
	CAUSE_ACME_TIMEOUT,
	CAUSE_ACME_SILENT,   /* silent after its answer while others waited */
	CAUSE_ACME_UNSERVED, /* the responder had no turn for it */
	CAUSE_SHUTDOWN,      /* the program ended first */
	CAUSE_GAP,           /* a flow could not be forwarded exactly: see enum flow_fault */
	CAUSE_TRIM,
	CAUSE_REDIRECT,
	CAUSE_LOST,        /* redirected bytes never reached the other side's TCP */
	CAUSE_LOCAL_ERROR, /* no memory, no descriptor, or another error of the kernel */
	CAUSES,
};

/* The outcome of an ACME validation. Each is a counter. */
enum validation_outcome {
	VALIDATION_SEEN_THROUGH,
	VALIDATION_CLIENT_CLOSED,
	VALIDATION_CLIENT_RESET,
	VALIDATION_RESPONDER_RESET,
	VALIDATION_NO_ANSWER,
	VALIDATION_REFUSED,
	VALIDATION_FALLBACK,
	VALIDATION_TIMED_OUT,
	VALIDATION_GAVE_UP,
	VALIDATION_SILENT,
	VALIDATION_UNSERVED,
	VALIDATION_FAILED,
	VALIDATIONS,
};

const char *session_cause_name(enum session_cause cause);
const char *validation_outcome_name(enum validation_outcome outcome);

#endif
