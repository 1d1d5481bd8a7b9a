/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend connection of a session: connects without blocking, tries the addresses of the route in turn and again,
 * falls back from ACME to HTTPS, and sends the PROXY header before the first byte. Owns session.connecting, with
 * connect.c; runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_BACKEND_H
#define ALPNBPF_ENGINE_BACKEND_H

#include "engine/session.h"

/* The state of connecting. */
enum backend_step {
	BACKEND_WAITS,   /* for an event or the retry timer; or it failed ahead of the hello */
	BACKEND_STANDS,  /* connected: backend_join() is due */
	BACKEND_GAVE_UP, /* the session has ended */
};

/* Connects the default backend before the route is known. Called once; a failure does not count. */
void backend_connect_ahead(struct session *session);

/* Closes a connection made ahead of the hello that does not lead to `route`. */
void backend_drop_other(struct session *session, enum route route);

/* Connects the backend of session->route. Uses a connection made ahead if it leads there, or else closes it. */
enum backend_step backend_connect(struct session *session);

/* Handles an event of the backend's socket before the session is open. */
enum backend_step backend_progress(struct session *session);

/* The retry timer expired: the attempt has timed out, or the next is due. */
enum backend_step backend_retry(struct session *session);

/*
 * Makes an established connection part of the session: sends the PROXY header if there is one, puts the socket into the
 * map, starts the flows. May be called again. False if it ended the session, or closed a connection made ahead.
 */
bool backend_join(struct session *session);

#endif
