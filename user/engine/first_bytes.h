/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first bytes of a session, until its route is known: who reads them, how long they may take, what they say. Owns
 * session.first_bytes; runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_FIRST_BYTES_H
#define ALPNBPF_ENGINE_FIRST_BYTES_H

#include <sys/types.h>

#include "engine/session.h"

/*
 * Before the client is in the map: what waits in its receive queue? Returns > 0 when bytes do, 0 for an end, or -errno.
 * *ahead: the default backend may be connected before the verdict has spoken.
 */
ssize_t first_bytes_look(struct session *session, bool *ahead);

/*
 * The next three return the route once it is known; until peek_forget(), peek_hello() tells what that rests on.
 * ROUTE_UNDECIDED: it is not known yet, or the session was ended.
 */

/* The client has been inserted into the map, or stays in user space. */
enum route first_bytes_start(struct session *session, bool ahead);

/* Something happened at the client. */
enum route first_bytes_progress(struct session *session);

/* --hello-timeout is over. */
enum route first_bytes_timeout(struct session *session);

#endif
