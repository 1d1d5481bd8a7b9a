/* SPDX-License-Identifier: BSD-2-Clause */
/* Peeks at the first bytes of a client, before any of them is forwarded. Runs on the thread of the session's worker. */
#ifndef ALPNBPF_ENGINE_PEEK_H
#define ALPNBPF_ENGINE_PEEK_H

#include <stddef.h>
#include <sys/types.h>

#include "engine/session.h"
#include "hello/describe.h"

/* The rules for this session's hello, here and in the verdict. NULL: there are none. */
const struct clienthello_rules *peek_rules(const struct session *session);

/*
 * Copies the client's receive queue into the worker's scratch buffer. Returns the number of bytes, 0 at the end, or
 * -errno.
 */
ssize_t peek_bytes(struct session *session);

/* Describes the first `count` bytes, which are in the scratch buffer, for later calls of peek_hello(). */
void peek_describe(struct session *session, size_t count);

/* Fills *hello. False if the first bytes cannot be read. */
bool peek_hello(struct session *session, struct hello *hello);

/* Forgets the description. Due before another session runs. */
void peek_forget(struct worker *worker);

#endif
