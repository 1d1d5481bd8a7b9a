/* SPDX-License-Identifier: BSD-2-Clause */
/* What one alpnbpf of a network namespace has for itself, and no listening socket says so. Start-up only. */
#ifndef ALPNBPF_INSTANCE_H
#define ALPNBPF_INSTANCE_H

#include <stddef.h>

#define INSTANCE_IN_PLACE "in-place/%u" /* a port */

/*
 * Takes what `name` stands for ("in-place/443") for as long as the descriptor is open, at most as long as this process
 * lives. The descriptor, or -errno
 * (-EADDRINUSE: another has it) with the process that has it, or why else, in reason.
 */
int instance_take(const char *name, char *reason, size_t reason_size);

#endif
