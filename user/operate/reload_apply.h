/* SPDX-License-Identifier: BSD-2-Clause */
/* The steps of a reload that hand the new options over, and put them in force (reload.h). Main thread. */
#ifndef ALPNBPF_OPERATE_RELOAD_APPLY_H
#define ALPNBPF_OPERATE_RELOAD_APPLY_H

#include <stdbool.h>

#include "base/sentence.h"
#include "options/options.h"

struct program;

/* Hands them over to the workers (engine/handover.h). On false nothing has changed, and why says the reason. */
bool reload_hand_over(struct program *program, const struct options *new, struct sentence *why);
/* The workers have taken them: they are in force for new sessions. On false the old ones still are, and why says why.
 */
bool reload_put_in_force(struct program *program, const struct options *new, struct sentence *why);

#endif
