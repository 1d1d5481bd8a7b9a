/* SPDX-License-Identifier: BSD-2-Clause */
/* What of steering is attached to the root of the cgroups, as far as that can be used. No state of its own. Start-up.
 */
#ifndef ALPNBPF_STEERING_CGROUP_PROGRAMS_H
#define ALPNBPF_STEERING_CGROUP_PROGRAMS_H

#include "base/sentence.h"
#include "options/options.h"
#include "steering/load.h"
#include "steering/own_connections.h"
#include "steering/watch.h"

/*
 * sock_ops, getpeername if it is planned, the hello watch where possible. 0, or -errno and why; own->by_sock_ops,
 * watch->is_ready and watch->why_not say how far it came.
 */
int cgroup_programs_attach(struct steer_programs *programs, const struct steer_plan *plan,
			   const struct steer_maps *maps, struct own_connections *own, struct hello_watch *watch,
			   const struct options *options, struct sentence *why);

#endif
