/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A validation's turn with the ACME responder: its place in the queue (responder.h), its deadlines, and what the queue
 * learns from it. Owns session.seat, with responder.c, and session.turn. Runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_TURN_H
#define ALPNBPF_ENGINE_TURN_H

#include <stdbool.h>

#include "engine/session.h"

enum turn_step {
	TURN_GOES_ON, /* or it waits */
	TURN_BEGINS,  /* the backend is to be connected; once */
	TURN_OVER,    /* the session has ended */
};

/* The route is acme: joins the queue. turn_look() is due. */
void turn_join(struct session *session);

/* Acts on the state of its seat and on time, and sets session->deadline. */
enum turn_step turn_look(struct session *session);

/* Bytes may have moved. */
void turn_progress(struct session *session);

/* The session has left the responder, or has ended. Does nothing the second time. */
void turn_leave(struct session *session);

/* Has the responder answered, and the client sent something after that? */
bool turn_was_answered(const struct session *session);
bool turn_was_replied_to(const struct session *session);

#endif
