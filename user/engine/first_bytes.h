/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first bytes of a session, until its route is known: who reads them, how long they may take, what they say.
 */
#ifndef ALPNBPF_ENGINE_FIRST_BYTES_H
#define ALPNBPF_ENGINE_FIRST_BYTES_H

#include <stddef.h>

#include "hello/describe.h"
#include "engine/session.h"

/*
 * Before the client is in the map: what waits in its receive queue? Returns > 0 when bytes do, 0 for an end, or -errno.
 * *ahead: the default backend may be connected before the verdict has spoken.
 */
long first_bytes_look(struct session *session, bool *ahead);

/* The client is in the map or known to be relayed. */
void first_bytes_start(struct session *session, bool ahead);

/* Something happened at the client: has its route been decided, or has it ended? */
void first_bytes_progress(struct session *session);

/* --hello-timeout is over. */
void first_bytes_timeout(struct session *session);

#endif
