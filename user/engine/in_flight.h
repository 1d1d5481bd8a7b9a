/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes on their way to a side, as its TCP knows them. Owns session.in_flight and socket_side.delivered. Runs on the
 * thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_IN_FLIGHT_H
#define ALPNBPF_ENGINE_IN_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/session.h"

/* Bytes in its send queue that the peer has not acknowledged. 0 where that is not known. */
uint64_t in_flight_unacknowledged(const struct socket_side *sock);
/*
 * Has everything redirected from this side arrived in the other side's TCP? A redirected segment waits for the kernel's
 * backlog worker; bytes sent, or a FIN, before that would overtake it or cut it off (docs/KERNEL.md 3).
 */
bool in_flight_is_empty(struct session *session, enum side from);
/* Nothing taken for seconds though there is room: what was redirected is gone, and that is known by nothing else. */
bool in_flight_is_lost(const struct session *session, enum side from);

#endif
