/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a session moves into the kernel, with --dataplane auto. All begin in user space, where connections and large
 * transfers cost less: the map costs two insertions, and a thread of the kernel has to run for each segment. The same
 * holds for short messages when a worker has many conversations at a time: they come in batches. One of few costs less
 * in the kernel, and is answered sooner. The figures are in tools/bench/NOTES.md. Owns session.conversation; runs on
 * the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_PROMOTE_H
#define ALPNBPF_ENGINE_PROMOTE_H

#include "engine/session.h"

/* A short message came from that side: a turn, if the last one came from the other. */
void promote_count(struct session *session, enum side from);

bool promote_is_due(const struct session *session);
/*
 * Puts both sides into the map. Nothing may be owed, unsent or unread, as promote_is_due() says. A side that cannot be
 * inserted stays in user space, and then both flows do.
 */
void promote_session(struct session *session);

#endif
