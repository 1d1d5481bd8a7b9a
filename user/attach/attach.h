/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of `alpnbpf attach`, and the steps that set it up, start it and tear it down. Main thread. */
#ifndef ALPNBPF_ATTACH_ATTACH_H
#define ALPNBPF_ATTACH_ATTACH_H

#include "attach/child.h"
#include "engine/watchdog.h"
#include "operate/program.h"

#define LOCKS_MAX (LISTENERS_MAX + 1)

struct attach {
	struct program program;
	int signals;          /* signalfd, or NO_DESCRIPTOR */
	bool at_terminal;     /* stderr was a terminal at start-up */
	bool failed;          /* the program ends because of an error, which was logged */
	uint64_t drain_until; /* us; in PROGRAM_SETTLING and _DRAINING: when the remaining sessions are reset */
	uint64_t settle_look, settle_until; /* us; in PROGRAM_SETTLING: the next check, and the last */
	struct child child;
	struct watchdog watchdog;
	struct rlimit nofile; /* as inherited; the command gets it back */
	int locks[LOCKS_MAX]; /* one per port served in place, one for transparent connections */
	unsigned int lock_count;
	bool routed; /* policy_route_remove() is due at the end */
};

/* The subcommand: argv from its own name on; returns an exit code (options/command_line.h). */
int attach_main(int argc, char **argv);

/*
 * Sets up everything from the descriptor limit to listeners and steering. 0, or -errno after logging an error.
 * attach_tear_down() undoes what was done, also after an error.
 */
int attach_set_up(struct attach *attach);
/*
 * After attach_set_up() and the start of the command: starts the workers, which have dropped privileges before they
 * serve, then drops those that this process no longer needs. 0, or -errno after logging an error.
 */
int attach_start(struct attach *attach);
/* After the workers have ended. */
void attach_tear_down(struct attach *attach);

#endif
