/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many sessions are of connections taken over, by the network they come from: an IPv4 /24 or an IPv6 /48. None may
 * have more than a quarter of all sessions, so that the others find room, whatever one of them does. Shared by all
 * workers.
 */
#ifndef ALPNBPF_ENGINE_TAKERS_H
#define ALPNBPF_ENGINE_TAKERS_H

#include <stdbool.h>

#include "base/address.h"

struct engine;

/* Main thread, before the workers start; engine_close() frees it. 0 or -ENOMEM. */
int takers_open(struct engine *engine);
/* Counts one more session of the client's network. False, and not counted, if that has its share. */
bool takers_enter(struct engine *engine, const struct address *client);
/* Counts one less. */
void takers_leave(struct engine *engine, const struct address *client);

#endif
