/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is of a running attach to ask about and to operate. attach makes it and takes it down; all of it is the
 * main thread's, but for what workers write in `engine`.
 */
#ifndef ALPNBPF_OPERATE_PROGRAM_H
#define ALPNBPF_OPERATE_PROGRAM_H

#include <time.h>

#include "operate/control.h"
#include "operate/server.h"
#include "options/options.h"
#include "engine/engine.h"
#include "engine/watchdog.h"
#include "engine/worker.h"

enum program_phase { PROGRAM_STARTING, PROGRAM_RUNNING, PROGRAM_DRAINING, PROGRAM_ENDING };

/* What a client of the control socket may ask for, and the main loop does. */
enum program_end { END_NOT_ASKED, END_DRAIN, END_NOW };

struct program {
	enum program_phase phase;
	enum program_end end_asked;
	struct options options; /* the newest */
	int argc;
	char **argv; /* to be read again */
	struct engine engine;
	char dataplane_text[768]; /* the data plane and why, for the ready line */
	uint64_t started;         /* us */
	struct servers servers;
	struct control control;
	struct server control_server, metrics_server;
	uint64_t reloads[2]; /* failed, done */
	bool last_reload_failed;
	time_t last_reload; /* 0: none */
	struct watchdog watchdog;
};

/* Adds those that no worker counts: the kernel's, and reloads. */
void program_add_counters(const struct program *program, struct counters *counters);

#endif
