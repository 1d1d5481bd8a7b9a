/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first bytes of a session, until its route is known: reads them, within --hello-timeout, and decides. Owns
 * session.first_bytes; runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_FIRST_BYTES_H
#define ALPNBPF_ENGINE_FIRST_BYTES_H

#include <sys/types.h>

#include "engine/session.h"

/*
 * Before the client is in the map: looks at its receive queue. Returns > 0 if it has bytes, 0 at the end, or -errno.
 * *ahead: the default backend may be connected before the verdict decides.
 */
ssize_t first_bytes_look(struct session *session, bool *ahead);

/*
 * The next three return the route once it is known; until peek_forget(), peek_hello() has the hello that decided it.
 * ROUTE_UNDECIDED: not known yet, or the session has ended.
 */

/* After the client was inserted into the map, or stays in user space. */
enum route first_bytes_start(struct session *session, bool ahead);

/* Handles an event of the client. */
enum route first_bytes_progress(struct session *session);

/* --hello-timeout has expired. */
enum route first_bytes_timeout(struct session *session);

#endif
