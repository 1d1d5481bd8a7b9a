/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user-space path of an open session: moves the bytes that a flow owes, by the invariant in alpnbpf.h; ends flows
 * in order; hands flows back to the kernel. It also serves sessions that are not in the map. Runs on the thread of the
 * session's worker.
 */
#ifndef ALPNBPF_ENGINE_RELAY_H
#define ALPNBPF_ENGINE_RELAY_H

#include "engine/session.h"

/* Moves all bytes that can move now, in both directions, and ends flows that have ended. */
void relay_progress(struct session *session);

/* Are there bytes that a FIN now would cut off? */
bool relay_holds_bytes(const struct session *session);

#endif
