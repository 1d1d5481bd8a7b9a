/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `alpnbpf reload` and SIGHUP: reads the command line and the configuration file again. All or nothing: whatever is
 * wrong, or would need a restart, is said, and what ran goes on. Main thread.
 */
#ifndef ALPNBPF_OPERATE_RELOAD_H
#define ALPNBPF_OPERATE_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "operate/program.h"

/* True when the new options are in force; sentence says what has changed, or why not. It is logged as well. */
bool reload(struct program *program, char *sentence, size_t size);

#endif
