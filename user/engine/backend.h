/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend connection of a session: connecting without blocking, trying the addresses of the route in turn and
 * again, falling back from ACME to HTTPS, and the PROXY header that goes before the first byte.
 */
#ifndef ALPNBPF_ENGINE_BACKEND_H
#define ALPNBPF_ENGINE_BACKEND_H

#include "engine/session.h"

/* Connect the default backend before the route is known, where that can pay off. One attempt; failure means nothing. */
void backend_connect_ahead(struct session *session);

/* Close a connection that was made ahead and does not lead to `route`. */
void backend_drop_other(struct session *session, enum route route);

/* Connect the backend of session->route; a connection ahead that leads there is used, another one dropped. */
void backend_connect(struct session *session);

/* Something happened at the backend's socket before the session is open. */
void backend_progress(struct session *session);

/* The time of an attempt is over, or it is time for the next. */
void backend_retry(struct session *session);

/*
 * The connection stands: send the PROXY header if one is due, put the socket into the map, let the flows live. False
 * when that ended the session, or the connection if it was made ahead.
 */
bool backend_take_over(struct session *session);

#endif
