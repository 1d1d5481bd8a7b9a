/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a session, from accept() to the sweep. Called by the loop and by those that open one; nothing that the
 * session itself uses calls back up here. Runs on the thread of its worker.
 */
#ifndef ALPNBPF_ENGINE_LIFECYCLE_H
#define ALPNBPF_ENGINE_LIFECYCLE_H

#include "engine/session.h"

/*
 * A connection was accepted: takes over fd. Whatever fails is logged, counted and closed. destination: in place, or
 * NULL. in_sources: it was counted for --max-per-source.
 */
void session_open(struct worker *worker, int fd, const struct address *client, const struct address *destination,
		  bool in_sources);

/* Do all that can be done now. Called by the worker for a session that had an event. */
void session_progress(struct session *session);

/* Both timers. */
void session_deadline(struct session *session);
void session_retry(struct session *session);

/* Closes the sockets and frees the slot. */
void session_sweep(struct session *session);

#endif
