/* SPDX-License-Identifier: BSD-2-Clause */
/* One round of bytes from a side to the other. */
#ifndef ALPNBPF_ENGINE_TRANSFER_H
#define ALPNBPF_ENGINE_TRANSFER_H

#include "engine/session.h"

enum moved {
	MOVED_SOME,    /* and there may be more */
	MOVED_NOTHING, /* until an event or the retry timer tells otherwise */
	MOVED_END,     /* recv() said that the side has ended */
	MOVED_FAILED,  /* the session was told */
};

/* The source must be drained, the target not blocked. */
enum moved transfer_some(struct session *session, enum side from);

#endif
