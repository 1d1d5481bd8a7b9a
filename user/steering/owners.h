/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose listeners are the ACME client's, and whose the web server's: the same decision as is_right_owner() in
 * bpf/arrivals.bpf.h, for listeners that existed before. Main thread.
 */
#ifndef ALPNBPF_STEERING_OWNERS_H
#define ALPNBPF_STEERING_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "options/options.h"
#include "steering.h"
#include "steering/plan.h"

#define STRANGERS_NAMED 16 /* users that are warned of; more are only counted */

/* At start-up, before owners_fill(): the user that this process becomes once it is set up. */
void owners_run_as(uint32_t uid);

/* The users of other listeners that were warned of. */
struct strangers {
	unsigned int count;
	uint32_t uids[STRANGERS_NAMED];
	enum steer_kind kinds[STRANGERS_NAMED];
};

/*
 * Sets the owners of both kinds. The first owner that was seen is forgotten if the port or the choice differ from those
 * of `old` (NULL: at start-up).
 */
void owners_fill(struct steer_state *state, const struct options *old, const struct options *new);
/* The owner of the first listener of the kind counts from now on: call it after existing ones were looked at. */
void owners_learn(struct steer_state *state, enum steer_kind kind);
/* Is it the right owner? The first one that is becomes the first owner. */
bool owners_accept(struct steer_state *state, enum steer_kind kind, uint32_t uid);
/* Logs a listener of the wrong owner: once for each user. */
void strangers_note(struct strangers *strangers, enum steer_kind kind, const struct address *at, uint32_t uid);

#endif
