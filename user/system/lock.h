/* SPDX-License-Identifier: BSD-2-Clause */
/* What one alpnbpf of a network namespace has for itself, and no listening socket says so. Start-up only. */
#ifndef ALPNBPF_SYSTEM_LOCK_H
#define ALPNBPF_SYSTEM_LOCK_H

#include <stddef.h>

#define INSTANCE_IN_PLACE "in-place/%u" /* a port */

/*
 * Takes what `name` stands for ("in-place/443") for as long as the descriptor is open, at most as long as this process
 * lives. The descriptor, or -errno with the process that has it, or why else, in reason: -EADDRINUSE when it is root's
 * or of our own user, -EPERM when it is another user's, who may have taken the name to keep us away.
 */
int instance_take(const char *name, char *reason, size_t reason_size);
/* Whoever asks for the holder of that descriptor waits in its queue: makes room. Any time it is readable. */
void instance_answer(int lock);
/* Who has it: -EADDRINUSE or -EPERM as above with the process in holder; 0 if nobody has. Takes nothing. */
int instance_find(const char *name, char *holder, size_t size);

#endif
