/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes in flight to a side: what the kernel knows about them. Owns session.in_flight and socket_side.delivered. Runs
 * on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_IN_FLIGHT_H
#define ALPNBPF_ENGINE_IN_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/session.h"

/* Bytes in the send queue that the peer has not acknowledged. 0 if unknown. */
uint64_t in_flight_unacknowledged(const struct socket_side *sock);
/*
 * Has everything redirected from this side arrived in the other side's TCP? A redirected segment waits for the kernel's
 * backlog worker; bytes sent, or a FIN, before that would overtake it or cut it off (docs/KERNEL.md 3).
 */
bool in_flight_is_empty(struct session *session, enum side from);
/*
 * Has TCP taken nothing for seconds although it has room? Then redirected bytes are lost, and nothing else shows that.
 */
bool in_flight_is_lost(const struct session *session, enum side from);

#endif
