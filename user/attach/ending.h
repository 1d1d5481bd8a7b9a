/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a run ends: the phases of a program after PROGRAM_RUNNING (operate/program.h), each left by what it waits for or
 * at its deadline. Main thread.
 *
 *     RUNNING   -- TERM, detach -->                                  SETTLING
 *     SETTLING  -- no connection is on its way, or time is over -->  DRAINING
 *     DRAINING  -- --drain-timeout is over -->                       ENDING
 *     any       -- INT, detach --now, a second TERM, the command or a worker has ended -->   ENDING
 *     any       -- all workers have ended -->                        COMMAND
 *     COMMAND   -- the command has ended, or there is none -->       over
 */
#ifndef ALPNBPF_ATTACH_ENDING_H
#define ALPNBPF_ATTACH_ENDING_H

#include "attach/attach.h"

/* Drains, as TERM does; at_once, or without --drain-timeout: with resets, as INT does. why is for the log. */
void ending_begin(struct attach *attach, bool at_once, const char *why);
/* Goes on to the phase that is due. Whenever a worker or the command may have ended, and at ending_next(). */
void ending_step(struct attach *attach);
/* us; UINT64_MAX: nothing is due by itself. */
uint64_t ending_next(const struct attach *attach);
bool ending_is_over(const struct attach *attach);

#endif
