/* SPDX-License-Identifier: BSD-2-Clause */
/* The steering programs that attach to the cgroup root, if it can be used. No state. Main thread, at start-up. */
#ifndef ALPNBPF_STEERING_CGROUP_PROGRAMS_H
#define ALPNBPF_STEERING_CGROUP_PROGRAMS_H

#include "base/sentence.h"
#include "options/options.h"
#include "steering/load.h"
#include "steering/own_connections.h"
#include "steering/watch.h"

/*
 * Attaches sock_ops, getpeername if planned, and opens the watch if possible. 0, or -errno and why; own->by_sock_ops,
 * watch->is_ready and watch->why_not say which of them succeeded.
 */
int cgroup_programs_attach(struct steer_programs *programs, const struct steer_plan *plan,
			   const struct steer_maps *maps, struct own_connections *own, struct hello_watch *watch,
			   const struct options *options, struct sentence *why);

#endif
