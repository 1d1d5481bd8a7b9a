/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The root of the cgroup v2 hierarchy: unified, hybrid, or mounted into a container. Owns nothing. Main thread, at
 * start-up.
 */
#ifndef ALPNBPF_SYSTEM_CGROUP_H
#define ALPNBPF_SYSTEM_CGROUP_H

#include <stddef.h>

#include "base/sentence.h"

/*
 * Opens the root: by any mount in view that shows it, or by one of our own, which nobody else sees. A descriptor, or
 * -errno and why. Fills path with its place, for messages.
 */
int cgroup_open_root(char *path, size_t path_size, struct sentence *why);

#endif
