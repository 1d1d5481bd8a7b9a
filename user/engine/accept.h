/* SPDX-License-Identifier: BSD-2-Clause */
/* Accepts connections, which become sessions. Runs on the worker's thread. */
#ifndef ALPNBPF_ENGINE_ACCEPT_H
#define ALPNBPF_ENGINE_ACCEPT_H

#include <stdbool.h>

#include "base/address.h"

struct listener;
struct worker;

/*
 * Makes the connection a session in the slot that was reserved for it, or resets it if its source has too many. Takes
 * ownership of fd. taken_over: it was entered by takers_enter().
 */
void accept_admit(struct worker *worker, int fd, const struct address *client, const struct address *destination,
		  bool taken_over);

/* Accepts one connection. False if none waits, or accepting has paused. */
bool accept_one(struct worker *worker, struct listener *listener);

/* Accepts the connections that wait, up to ACCEPT_AT_ONCE. */
void accept_some(struct worker *worker, struct listener *listener);

#endif
