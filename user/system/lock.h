/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one alpnbpf of a network namespace has for itself where no listening socket says so: a port that it serves in
 * place, the routing for transparent connections. Main thread; taken at the start, answered for as long as it runs.
 */
#ifndef ALPNBPF_SYSTEM_LOCK_H
#define ALPNBPF_SYSTEM_LOCK_H

#include "base/sentence.h"

#define LOCK_IN_PLACE "in-place/%u" /* a port */

/*
 * Takes the lock `name` ("in-place/443") for as long as the descriptor is open, at most as long as this process lives.
 * The descriptor, or -errno, and why is the process that has it, or the error: -EADDRINUSE when that process is root's
 * or of our own user, -EPERM when it is another user's, who may have taken the name to keep us away.
 */
int lock_take(const char *name, struct sentence *why);
/* A process that asks for the holder of that descriptor waits in its queue: makes room. Whenever it is readable. */
void lock_answer(int lock);
/* Who has it: -EADDRINUSE or -EPERM as above with the process in holder; 0 if no process has. Takes nothing. */
int lock_find(const char *name, struct sentence *holder);

#endif
