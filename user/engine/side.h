/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One of the two sockets of a session: what it waits for, what has happened to it, how it is closed. Runs on the thread
 * of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_SIDE_H
#define ALPNBPF_ENGINE_SIDE_H

#include "engine/session.h"

/* Tells epoll what it waits for now; always edge-triggered. 0 or -errno. */
int side_poll(struct session *session, enum side side);
/* The same. False when it failed, which ended the session. */
bool side_poll_or_end(struct session *session, enum side side);

/* Its send buffer is full: EPOLLOUT tells when that is over. False when the session has ended. */
bool side_wait_for_room(struct session *session, enum side side);

/*
 * Puts it into the map, if it can be there; in_map says so. What came before goes through the verdict with side_kick():
 * 0, or -errno when the connection has failed. side_poll() is due as well.
 */
void side_insert(struct session *session, enum side side);
int side_kick(const struct session *session, enum side side);

/* Is this error (-errno) what calls on a connection that is gone return? */
bool side_is_reset(int error);

/* A call on its socket failed for good with `error` (-errno): ends the session or lets it linger. False. */
bool side_fail(struct session *session, enum side side, int error);

/* Looks at a fault of the flow from this side, and at an error of its socket. False when either ended the session. */
bool side_check(struct session *session, enum side side);

/* Closes its socket, if there is one; with a reset if hard. */
void side_close(struct session *session, enum side side, bool hard);

#endif
