/* SPDX-License-Identifier: BSD-2-Clause */
/* Steering at a reload: ports and addresses may change, the mode may not. Main thread. */
#ifndef ALPNBPF_STEERING_RELOAD_H
#define ALPNBPF_STEERING_RELOAD_H

#include "base/sentence.h"
#include "steering/steer.h"

/* False, and why, if the loaded programs do not fit the new options. */
bool steer_can_change(const struct steer *steer, const struct options *old, const struct options *new,
		      struct sentence *why);
/* After steer_can_change(). 0, or -errno, after restoring the old ports and addresses as far as possible. */
int steer_change(struct steer *steer, const struct options *old, const struct options *new);

#endif
