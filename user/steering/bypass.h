/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bypass: new connections go to the web server's own listener, if that is tracked. It says which are not. No state
 * of its own; main thread.
 */
#ifndef ALPNBPF_STEERING_BYPASS_H
#define ALPNBPF_STEERING_BYPASS_H

#include <stdbool.h>

#include "base/address.h"
#include "steering/listeners.h"

/* At the start, and when the web server's port has changed: finds its listeners. 0 or -errno. */
int bypass_find(struct listener_tracker *tracker);
/* A listener of the web server came and is untracked: that is logged. */
void bypass_note_untracked(const struct listener_tracker *tracker, const struct address *at);
/* Is there one now, and a bypass? Then its address is in *at. */
bool bypass_has_untracked(const struct listener_tracker *tracker, struct address *at);

#endif
