/* SPDX-License-Identifier: BSD-2-Clause */
/* What `alpnbpf attach` owns, and how it comes about, runs and ends. Main thread. */
#ifndef ALPNBPF_ATTACH_ATTACH_H
#define ALPNBPF_ATTACH_ATTACH_H

#include "attach/child.h"
#include "engine/watchdog.h"
#include "operate/program.h"

#define LOCKS_MAX (LISTENERS_MAX + 1)

struct attach {
	struct program program;
	int signals;          /* signalfd, or NO_DESCRIPTOR */
	bool at_terminal;     /* stderr was one at the start */
	bool failed;          /* the program ends because something went wrong, which was logged */
	uint64_t drain_until; /* us; PROGRAM_SETTLING, PROGRAM_DRAINING: then the sessions that are left are reset */
	uint64_t settle_look, settle_until; /* us; PROGRAM_SETTLING: the next look, and the last */
	struct child child;
	struct watchdog watchdog;
	struct rlimit nofile; /* as we were given it */
	int locks[LOCKS_MAX]; /* one for each port served in place, one for transparent connections */
	unsigned int lock_count;
	bool routed; /* policy_route_remove() is due */
};

/* The subcommand: argv from its own name on; returns an exit code (options/command_line.h). */
int attach_main(int argc, char **argv);

/*
 * Everything from the descriptor limit to listeners and steering, in the order in which it can fail. 0, or -errno after
 * an error was logged. attach_tear_down() undoes what was done, however far it came.
 */
int attach_set_up(struct attach *attach);
/*
 * After attach_set_up() and the start of the command: gives up the rights that are not needed any more, then starts the
 * workers, so that none ever has them. 0, or -errno after an error was logged.
 */
int attach_start(struct attach *attach);
/* Workers must have ended. */
void attach_tear_down(struct attach *attach);

#endif
