/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend connection of a session: connecting without blocking, trying the addresses of the route in turn and
 * again, falling back from ACME to HTTPS, and the PROXY header that goes before the first byte. Owns
 * session.connecting, with connect.c; runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_BACKEND_H
#define ALPNBPF_ENGINE_BACKEND_H

#include "engine/session.h"

/* What connecting has come to. */
enum backend_step {
	BACKEND_WAITS,   /* for an event or the retry timer; or it failed ahead of the hello, which means nothing */
	BACKEND_STANDS,  /* it is connected: backend_join() is due */
	BACKEND_GAVE_UP, /* the session was ended */
};

/* Connects the default backend before the route is known, where that can pay off. Once; failure means nothing. */
void backend_connect_ahead(struct session *session);

/* Closes a connection that was made ahead and does not lead to `route`. */
void backend_drop_other(struct session *session, enum route route);

/* Connects the backend of session->route; a connection ahead that leads there is used, another one dropped. */
enum backend_step backend_connect(struct session *session);

/* Something happened at the backend's socket before the session is open. */
enum backend_step backend_progress(struct session *session);

/* The time of an attempt is over, or it is time for the next. */
enum backend_step backend_retry(struct session *session);

/*
 * The connection stands and becomes part of the session: sends the PROXY header if one is due, puts the socket into the
 * map, lets the flows live. Done once; asking again is harmless. False when it ended the session, or the connection if
 * that was made ahead.
 */
bool backend_join(struct session *session);

#endif
