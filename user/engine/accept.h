/* SPDX-License-Identifier: BSD-2-Clause */
/* Accepting connections, which become sessions. Runs on the worker's thread. */
#ifndef ALPNBPF_ENGINE_ACCEPT_H
#define ALPNBPF_ENGINE_ACCEPT_H

#include <stdbool.h>

#include "base/address.h"

struct listener;
struct worker;

/* A connection becomes a session, if its source may have one more; else it is reset. Owns fd. */
void accept_admit(struct worker *worker, int fd, const struct address *client, const struct address *destination);

/* Takes one that waits. False when there is none, or accepting has stopped. */
bool accept_one(struct worker *worker, struct listener *listener);

/* Takes what waits there, up to a fair number. */
void accept_some(struct worker *worker, struct listener *listener);

#endif
