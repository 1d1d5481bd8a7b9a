/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `alpnbpf reload` and SIGHUP: reads the command line and the configuration file again. All or nothing: a
 * mistake, or what would need a restart, is logged, and the running configuration stays. A state machine of the main
 * loop, which waits for nothing: names of backends are looked up on a thread of their own, and the workers adopt the
 * new options when they come round. Main thread.
 */
#ifndef ALPNBPF_OPERATE_RELOAD_H
#define ALPNBPF_OPERATE_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"

struct program;
struct parsing;

enum reload_state {
	RELOAD_IDLE,    /* nothing is under way. Left when a reload is asked for */
	RELOAD_PARSES,  /* the options are read: waits for the thread of `parsing`, until `until` at most */
	RELOAD_ADOPTED, /* they are in force: waits for each worker to have them, until `until` at most */
};

struct reload {
	enum reload_state state;
	uint64_t until;          /* us; not RELOAD_IDLE */
	bool asked;              /* another turn is to follow */
	uint64_t turn;           /* how many have begun */
	struct parsing *parsing; /* its thread may be at work longer than RELOAD_PARSES lasts. NULL: there is none */
	bool failed;             /* the last turn that has ended, … */
	struct sentence result;  /* … and what has changed, or why nothing has */
	uint64_t done_count, failed_count;
};

/*
 * A reload is to begin, or to follow the one that is under way: which may have read the file before it changed last.
 * The number of that turn.
 */
uint64_t reload_ask(struct reload *reload);
/* Goes on as far as it can without waiting. True: the turn reload->turn has ended. */
bool reload_step(struct program *program);
/* The descriptor that is readable when reload_step() can go on; NO_DESCRIPTOR: none but engine->answered is. */
int reload_fd(const struct reload *reload);
/* When it can go on at the latest, us; UINT64_MAX: only then. */
uint64_t reload_next(const struct reload *reload);

#endif
