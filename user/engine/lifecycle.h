/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a session, from accept() to the sweep. The loop and accept.c call it; nothing below it calls back. Runs
 * on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_LIFECYCLE_H
#define ALPNBPF_ENGINE_LIFECYCLE_H

#include "engine/session.h"

/*
 * Opens a session for an accepted connection, and takes ownership of fd. After a failure the session is counted and
 * closed. destination: in place, else NULL. in_sources: counted for --max-per-source.
 * taken_over: counted in takers.c.
 */
void session_open(struct worker *worker, int fd, const struct address *client, const struct address *destination,
		  bool in_sources, bool taken_over);

/* Does everything that is possible now. Called after an event. */
void session_progress(struct session *session);

/* The timers of the session expired. */
void session_deadline(struct session *session);
void session_retry(struct session *session);
/* The queue for the ACME responder calls: its seat has changed. */
void session_called(struct session *session);

/* After the session has ended, at the end of the batch of events: closes its sockets and frees its slot. */
void session_sweep(struct session *session);

#endif
