/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All the rules for giving up a session because a peer stalls. The times are set here; the file in the last column acts
 * on them. Runs on the thread of the session's worker.
 *
 *   who stalls                          for how long                    what follows                where
 *   a client, before its first byte     --hello-timeout after accept()  reset, HELLO_SILENT         first_bytes.c
 *   a client, within its first bytes    --hello-timeout after accept()  goes to https               first_bytes.c
 *   an address of a backend             its share of the next line's    the next address            backend.c
 *   the address a client connected to   0.5 s, if there is another way  the next address            backend.c
 *   a backend                           --connect-timeout               reset, CONNECT_FAILED       backend.c
 *   an ACME responder, at connecting    --connect-timeout               --acme-fallback             backend.c
 *   the queue for the ACME responder    15 s after accept() (*)         reset, ACME_UNSERVED        turn.c
 *   an ACME responder, before its       15 s after accept() (*)         reset, ACME_TIMEOUT         turn.c
 *     first byte
 *   a validation, answered              --acme-timeout after the answer reset, ACME_TIMEOUT         turn.c
 *   its client, while others wait       1 s; less if it did so before   reset, ACME_SILENT          turn.c
 *   it, moving, while others wait       3 s after the answer            reset, ACME_SILENT          turn.c
 *   one that went to https              --acme-timeout after that       reset, ACME_TIMEOUT         lifecycle.c
 *   any other open session              --idle-timeout, nothing moves   closed, IDLE_TIMEOUT        lifecycle.c
 *   the peer of a broken side           5 s, nothing acknowledged       reset, CLIENT_ or BACKEND_  relay.c
 *   the kernel, with redirected bytes   5 s, though there is room       reset, LOST                 in_flight.c
 *   the server's socket, at a takeover  half a second                   reset, takeovers_failed     takeovers.c
 *   any session, after SIGTERM          --drain-timeout                 reset, SHUTDOWN             attach/ending.c
 *
 * (*) --acme-timeout, if that is longer. Round trips are added to the times that are counted while others wait.
 */
#ifndef ALPNBPF_ENGINE_DEADLINES_H
#define ALPNBPF_ENGINE_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/timer.h"

struct session;

#define DEADLINE_LINGER_US (5000 * US_PER_MS)
#define DEADLINE_LOST_US   (5000 * US_PER_MS)
#define DEADLINE_TURN_US   (3000 * US_PER_MS)

/* Set session->deadline for a rule, in place of the previous one. */
void deadline_for_hello(struct session *session);
void deadline_for_fallback(struct session *session);
void deadline_for_idleness(struct session *session); /* when to check again; none without --idle-timeout */
void deadline_for_nothing(struct session *session);
void deadline_at(struct session *session, uint64_t due); /* us; by a rule of turn.c */

/* Until when a validation waits for its answer, and how long it may take once answered, in us. */
uint64_t deadline_of_answer(const struct session *session);
uint64_t deadline_of_validation(const struct session *session, uint64_t answered_at);

/* The deadline of connecting, from now, in us. */
uint64_t deadline_of_connecting(const struct session *session);
/* The deadline of an attempt at one of `left` addresses, from now, in us. */
uint64_t deadline_of_attempt(const struct session *session, uint64_t connecting, unsigned int left);

/* Updates session->idle: has a byte moved, in user space, in the kernel, or out of a send buffer? */
void deadline_look_at_activity(struct session *session);
/* The same. True if --idle-timeout has expired. */
bool deadline_is_idle(struct session *session);

#endif
