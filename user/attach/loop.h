/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop of the main thread, from the start of the workers to the end of the command, and its signals. */
#ifndef ALPNBPF_ATTACH_LOOP_H
#define ALPNBPF_ATTACH_LOOP_H

#include "attach/attach.h"

/* Blocks the signals that the loop will read; workers inherit that. 0, or -errno after logging an error. */
int loop_open(struct attach *attach);
/* Runs until ending_is_over(). */
void loop_run(struct attach *attach);
void loop_close(struct attach *attach);

#endif
