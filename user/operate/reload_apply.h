/* SPDX-License-Identifier: BSD-2-Clause */
/* The step of a reload that puts the new options in force (reload.h). Main thread. */
#ifndef ALPNBPF_OPERATE_RELOAD_APPLY_H
#define ALPNBPF_OPERATE_RELOAD_APPLY_H

#include <stdbool.h>

#include "base/sentence.h"
#include "options/options.h"

struct program;

/* Publishes the options to the workers, for new sessions. On false nothing has changed, and why says the reason. */
bool reload_apply(struct program *program, const struct options *new, struct sentence *why);
/* Frees old options that no session and no worker uses. */
void reload_prune(struct program *program);

#endif
