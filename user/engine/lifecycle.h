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

/* Something happened to it: does all that can be done now. */
void session_progress(struct session *session);

/* Its timers have expired. */
void session_deadline(struct session *session);
void session_retry(struct session *session);

/* After it has ended, and the batch of events with it: closes the sockets and frees the slot. */
void session_sweep(struct session *session);

#endif
