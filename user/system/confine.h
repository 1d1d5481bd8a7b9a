/* SPDX-License-Identifier: BSD-2-Clause */
/* Confines a process that was forked for a few privileged steps. No state; in that process. */
#ifndef ALPNBPF_SYSTEM_CONFINE_H
#define ALPNBPF_SYSTEM_CONFINE_H

#include <stdbool.h>

#include "system/user.h"

/*
 * Becomes `user` (NULL: stays who it is), closes all descriptors but those in `keep` (NO_DESCRIPTOR is allowed), and
 * keeps of its rights CAP_NET_ADMIN, CAP_NET_BIND_SERVICE and the system calls of confine.c. It dies with its parent,
 * and ignores signals that a terminal sends to all. False if that fails: then it must exit.
 */
bool confine_helper(const struct user *user, const int *keep, unsigned int count);

#endif
