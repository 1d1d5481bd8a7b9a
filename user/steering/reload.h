/* SPDX-License-Identifier: BSD-2-Clause */
/* Steering at a reload: ports and addresses may change, what is steered at all may not. Main thread. */
#ifndef ALPNBPF_STEERING_RELOAD_H
#define ALPNBPF_STEERING_RELOAD_H

#include "base/sentence.h"
#include "steering/steer.h"

/* False, and why: the programs that are loaded do not fit. */
bool steer_can_change(const struct steer *steer, const struct options *old, const struct options *new,
		      struct sentence *why);
/* After steer_can_change(). 0 or -errno; then the old ports and addresses are in force again, as far as possible. */
int steer_change(struct steer *steer, const struct options *old, const struct options *new);

#endif
