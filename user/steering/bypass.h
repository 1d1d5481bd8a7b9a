/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bypass: new connections go directly to the web server's listener, if that is tracked. Reports listeners that are
 * not. No state; main thread.
 */
#ifndef ALPNBPF_STEERING_BYPASS_H
#define ALPNBPF_STEERING_BYPASS_H

#include <stdbool.h>

#include "base/address.h"
#include "steering/listeners.h"

/* At start-up, and when the web server's port has changed: finds its listeners. 0 or -errno. */
int bypass_find(struct listener_tracker *tracker);
/* Logs that a listener of the web server is untracked. */
void bypass_note_untracked(const struct listener_tracker *tracker, const struct address *at);
/* Is there a bypass, and a listener that it cannot use? Fills *at with its address. */
bool bypass_has_untracked(const struct listener_tracker *tracker, struct address *at);

#endif
