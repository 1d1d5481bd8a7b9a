/* SPDX-License-Identifier: BSD-2-Clause */
/* One round of bytes from a side to the other. Owns socket_side.unsent. Runs on the thread of the session's worker. */
#ifndef ALPNBPF_ENGINE_TRANSFER_H
#define ALPNBPF_ENGINE_TRANSFER_H

#include "engine/session.h"

enum moved {
	MOVED_SOME,    /* and there may be more */
	MOVED_NOTHING, /* until an event or the retry timer tells otherwise */
	MOVED_END,     /* recv() said that the side has ended */
	MOVED_FAILED,  /* a socket failed, and side_fail() knows; the session may have ended */
};

/* Nothing of the flow may be in flight, and the target must not be blocked. */
enum moved transfer_some(struct session *session, enum side from);

#endif
