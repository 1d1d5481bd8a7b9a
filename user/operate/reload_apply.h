/* SPDX-License-Identifier: BSD-2-Clause */
/* The step of a reload that changes something (reload.h). Main thread. */
#ifndef ALPNBPF_OPERATE_RELOAD_APPLY_H
#define ALPNBPF_OPERATE_RELOAD_APPLY_H

#include <stdbool.h>

#include "base/sentence.h"
#include "options/options.h"

struct program;

/* From now on new sessions have these options, with each worker that adopts them. False: nothing has changed; why. */
bool reload_apply(struct program *program, const struct options *new, struct sentence *why);
/* Frees the options that no session and no worker uses any more. */
void reload_prune(struct program *program);

#endif
