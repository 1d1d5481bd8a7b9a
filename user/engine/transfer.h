/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves bytes from a side to the other, one round per call. Owns socket_side.unsent. On the thread of the session's
 * worker.
 */
#ifndef ALPNBPF_ENGINE_TRANSFER_H
#define ALPNBPF_ENGINE_TRANSFER_H

#include "engine/session.h"

enum moved {
	MOVED_SOME,    /* there may be more */
	MOVED_NOTHING, /* wait for an event or the retry timer */
	MOVED_END,     /* recv() returned 0 */
	MOVED_FAILED,  /* a socket failed, and side_fail() was called; the session may have ended */
};

/* No byte of the flow may be in flight, and the target must not be blocked. */
enum moved transfer_some(struct session *session, enum side from);

#endif
