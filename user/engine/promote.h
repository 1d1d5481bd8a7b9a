/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves sessions into the kernel, with --dataplane auto. Every session begins in user space, where new connections and
 * large transfers cost less: the map costs two insertions, and a kernel thread has to run for each segment. If a worker
 * has many conversations of short messages at a time, these cost less in user space too, because they come in batches.
 * If it has few, they cost less in the kernel, and latency is lower. Figures: tools/bench/NOTES.md. Owns
 * session.conversation; runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_PROMOTE_H
#define ALPNBPF_ENGINE_PROMOTE_H

#include "engine/session.h"

/* Counts a short message from a side; it is a turn if the previous message came from the other side. */
void promote_count(struct session *session, enum side from);

bool promote_is_due(const struct session *session);
/*
 * Puts both sides into the map. Nothing may be owed, unsent or unread, as promote_is_due() checks. If a side cannot be
 * inserted, both flows stay in user space.
 */
void promote_session(struct session *session);

#endif
