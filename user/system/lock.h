/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks for what only one alpnbpf per network namespace may have and no listening socket shows: a port served in place,
 * the routing for transparent connections. Main thread; taken at start-up, answered while it runs.
 */
#ifndef ALPNBPF_SYSTEM_LOCK_H
#define ALPNBPF_SYSTEM_LOCK_H

#include "base/sentence.h"

#define LOCK_IN_PLACE "in-place/%u" /* the port */

/*
 * Takes the lock `name` ("in-place/443") until the descriptor is closed or the process ends. Returns the descriptor, or
 * -errno with the holder or the error in why. -EADDRINUSE: the holder runs as root or as our own user, which the kernel
 * says. -EPERM: it does not, or does not let us ask: any user can take the name, so this must not keep us out.
 */
int lock_take(const char *name, struct sentence *why);
/* Empties the lock's queue, in which processes wait that look for its holder. Call whenever it is readable. */
void lock_answer(int lock);
/* Looks for the holder without taking the lock: -EADDRINUSE or -EPERM as above, with the process in holder; 0: free. */
int lock_find(const char *name, struct sentence *holder);

#endif
