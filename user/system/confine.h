/* SPDX-License-Identifier: BSD-2-Clause */
/* Confines a process that was forked for a few privileged steps. No state; in that process. */
#ifndef ALPNBPF_SYSTEM_CONFINE_H
#define ALPNBPF_SYSTEM_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "system/user.h"

/*
 * Closes all descriptors but those in `keep` (NO_DESCRIPTOR is allowed), then enters the sandbox (sandbox.h) as the
 * repair helper, with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE. It becomes `user` (NULL: stays who it is), dies with
 * `parent`, and ignores signals that a terminal sends to all. False if that fails: then it must exit.
 */
bool confine_helper(const struct user *user, pid_t parent, const int *keep, unsigned int count);

#endif
