/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user-space path of an open session: moves what a flow owes, keeping the invariant of alpnbpf.h; ends flows in
 * order; hands flows back to the kernel. The same code serves sessions that the verdict does not see. Runs on the
 * thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_RELAY_H
#define ALPNBPF_ENGINE_RELAY_H

#include "engine/session.h"

/* Moves all that can be moved now, both ways, and ends what has ended. */
void relay_progress(struct session *session);

/* Are there bytes on their way, so that ending the session now would cut something off? */
bool relay_holds_bytes(const struct session *session);

#endif
