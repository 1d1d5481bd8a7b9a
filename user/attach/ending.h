/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the program ends: its phases after PROGRAM_RUNNING (operate/program.h), and what ends each. Main thread.
 *
 *     RUNNING   -- TERM, detach -->                                  SETTLING
 *     SETTLING  -- no connection is under way, or a deadline -->     DRAINING
 *     DRAINING  -- --drain-timeout expires -->                       ENDING
 *     any       -- INT, detach --now, a second TERM, the command or a worker has ended -->   ENDING
 *     any       -- all workers have ended -->                        COMMAND
 *     COMMAND   -- the command has ended, or there is none -->       over
 */
#ifndef ALPNBPF_ATTACH_ENDING_H
#define ALPNBPF_ATTACH_ENDING_H

#include "attach/attach.h"

/*
 * Begins to drain, as SIGTERM does. at_once, or with --drain-timeout 0: resets sessions, as SIGINT does. why: for the
 * log.
 */
void ending_begin(struct attach *attach, bool at_once, const char *why);
/* Enters the next phase if it is due. Call it when a worker or the command may have ended, and at ending_next(). */
void ending_step(struct attach *attach);
/* When to call ending_step() at the latest, in us; UINT64_MAX: on events only. */
uint64_t ending_next(const struct attach *attach);
bool ending_is_over(const struct attach *attach);

#endif
