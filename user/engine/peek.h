/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client sent first, while nothing of it was forwarded yet: looked at, not taken. Runs on the thread of the
 * session's worker.
 */
#ifndef ALPNBPF_ENGINE_PEEK_H
#define ALPNBPF_ENGINE_PEEK_H

#include <stddef.h>
#include <sys/types.h>

#include "engine/session.h"
#include "hello/describe.h"

/* The rules that this hello is compared with, here and by the verdict. NULL: there are none. */
const struct clienthello_rules *peek_rules(const struct session *session);

/*
 * Copies what waits in the client's receive queue into the worker's scratch buffer. Returns the number of bytes, 0 at
 * the end, or -errno.
 */
ssize_t peek_bytes(struct session *session);

/* The first `count` bytes of the session are in the scratch buffer: peek_hello() knows what they say from now on. */
void peek_describe(struct session *session, size_t count);

/* What they say. False when they cannot be read. */
bool peek_hello(struct session *session, struct hello *hello);

/* Due before another session is looked at: what was described is not known any more. */
void peek_forget(struct worker *worker);

#endif
