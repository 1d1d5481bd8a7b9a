/* SPDX-License-Identifier: BSD-2-Clause */
/* What `alpnbpf attach` owns, and how it comes about. */
#ifndef ALPNBPF_ATTACH_ATTACH_H
#define ALPNBPF_ATTACH_ATTACH_H

#include <time.h>

#include "attach/child.h"
#include "operate/control.h"
#include "options/options.h"
#include "operate/server.h"
#include "engine/watchdog.h"
#include "engine/worker.h"

#define LOCKS_MAX (LISTENERS_MAX + 1)

enum attach_phase { ATTACH_STARTING, ATTACH_RUNNING, ATTACH_DRAINING, ATTACH_ENDING };

/* What attach owns. */
struct attach {
	enum attach_phase phase;
	struct options options; /* the newest */
	int argc;
	char **argv; /* to be read again */
	struct router router;
	struct worker *workers;
	unsigned int running;
	char plane[768];  /* the data plane and why, for the ready line */
	uint64_t started; /* us */
	struct services services;
	struct control control;
	struct service control_service, metrics_service;
	int signals;
	bool at_terminal; /* stderr was one at the start */
	struct child child;
	uint64_t reloads[2]; /* failed, done */
	bool last_reload_failed;
	time_t last_reload; /* 0: none */
	struct watchdog watchdog;
	struct rlimit nofile; /* as we were given it */
	int locks[LOCKS_MAX]; /* one for each port served in place, one for transparent connections */
	unsigned int lock_count;
	bool routed;           /* policy_route_remove() is due */
	uint64_t drain_until;  /* us; 0: not draining, UINT64_MAX: as long as it takes to end at once */
	uint64_t settle_until; /* us; draining waits so long for connections that are steered to us and not yet here */
};

/* The subcommand: argv from its own name on; returns an exit code (options/command_line.h). */
int cmd_attach(int argc, char **argv);

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
/* Drains, as TERM does; at_once: with resets, as INT does. why is for the log. */
void attach_end(struct attach *attach, bool at_once, const char *why);
/* Workers must have ended. */
void attach_tear_down(struct attach *attach);

#endif
