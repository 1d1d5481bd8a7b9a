/* SPDX-License-Identifier: BSD-2-Clause */
/* What of steering is attached to the root of the cgroups, as far as that can be used. Start-up code. */
#ifndef ALPNBPF_STEERING_CGROUP_PROGRAMS_H
#define ALPNBPF_STEERING_CGROUP_PROGRAMS_H

#include "steering/steer.h"

/*
 * sock_ops, getpeername if wanted, the watch on hellos where possible. 0, or -errno and why. Leaves
 * `by_cgroup`, `peername` and `watches` as they turn out.
 */
int steer_use_cgroup(struct steer *steer, const struct options *options, struct sentence *why);
/* Without the watch, all connections are steered while armed: that is said, and goes on. */
void steer_do_without_watch(struct steer *steer, const char *why);

#endif
