/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user-space path of an open session: moves what a flow owes, keeping the invariant of alpnbpf.h; ends flows in
 * order; hands flows back to the kernel. The same code serves sessions the verdict has nothing to do with.
 */
#ifndef ALPNBPF_ENGINE_RELAY_H
#define ALPNBPF_ENGINE_RELAY_H

#include "engine/session.h"

/* The epoll mask of a side, derived from what it is and what it waits for. Always edge-triggered. */
uint32_t relay_events(const struct session *session, enum side side);

/* Moves all that can be moved now, both ways, and ends what has ended. */
void relay_progress(struct session *session);

/* Looks at a fault of the flow from this side, and at an error of its socket. False when either ended the session. */
bool relay_check(struct session *session, enum side side);

/* A call on that side's socket failed for good with `error` (errno): ends the session or lets it linger. False. */
bool relay_fail(struct session *session, enum side side, int error);

/* Is this errno what a connection that is gone gives? */
bool relay_is_reset(int error);
/* The side's send buffer is full: EPOLLOUT tells when that is over. False when the session has ended. */
bool relay_wait_for_room(struct session *session, enum side side);
/* Nothing will tell when the kernel's backlog worker is done: look again, less and less often. */
void relay_look_again(struct session *session);

/* A counter of struct flow, as of now. */
static inline uint64_t relay_load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Bytes that have arrived on a side in the map so far. */
uint64_t relay_arrived(const struct flow *flow);

/* A number that is another one whenever a byte has moved, in user space, in the kernel, or out of a send buffer. */
uint64_t relay_activity(const struct session *session);

/* Are there bytes on their way, so that ending the session now would cut something off? */
bool relay_holds_bytes(const struct session *session);

#endif
