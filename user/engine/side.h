/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One of the two sockets of a session: its epoll events, its place in the map, its errors, its end. Runs on the thread
 * of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_SIDE_H
#define ALPNBPF_ENGINE_SIDE_H

#include "engine/session.h"

/* Sets the events that epoll reports, edge-triggered. 0 or -errno. */
int side_poll(struct session *session, enum side side);
/* The same. False if it failed, which ended the session. */
bool side_poll_or_end(struct session *session, enum side side);

/* The send buffer is full: waits for EPOLLOUT. False if the session has ended. */
bool side_wait_for_room(struct session *session, enum side side);

/*
 * Puts the socket into the map, if possible; in_map says so. Then side_poll() is due, and side_kick(), which runs
 * earlier bytes through the verdict: 0, or -errno if the connection has failed.
 */
void side_insert(struct session *session, enum side side);
int side_kick(const struct session *session, enum side side);

/* Is this error (-errno) one that calls return on a lost connection? */
bool side_is_reset(int error);

/* A call on the socket failed with `error` (-errno): ends the session, or lets it linger. Returns false. */
bool side_fail(struct session *session, enum side side, int error);

/* Checks the flow from this side for a fault, and its socket for an error. False if either ended the session. */
bool side_check(struct session *session, enum side side);

/* Closes the socket, if there is one; with a reset if hard. */
void side_close(struct session *session, enum side side, bool hard);

#endif
