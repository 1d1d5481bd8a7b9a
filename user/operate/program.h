/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is of a running attach to ask about and to operate. attach makes it and takes it down; all of it is the
 * main thread's, but for what workers write in `engine`.
 */
#ifndef ALPNBPF_OPERATE_PROGRAM_H
#define ALPNBPF_OPERATE_PROGRAM_H

#include "operate/control.h"
#include "operate/reload.h"
#include "operate/server.h"
#include "options/options.h"
#include "engine/engine.h"
#include "engine/snapshot.h"

/* In this order; attach/ending.c goes from one to the next. */
enum program_phase {
	PROGRAM_STARTING, /* nothing is served yet */
	PROGRAM_RUNNING,
	PROGRAM_SETTLING, /* no new connections are steered to us; waits for those on their way */
	PROGRAM_DRAINING, /* the workers accept no more; their sessions have time to end */
	PROGRAM_ENDING,   /* the workers reset what there is, and end */
	PROGRAM_COMMAND,  /* all workers have ended; waits for the command, which was told to end */
};

/* What a client of the control socket may ask for, and the main loop does. */
enum program_end { END_NOT_ASKED, END_DRAIN, END_NOW };

/* The workers are asked for snapshots in rounds: a round serves the clients that asked before it began. */
struct snapshot_round {
	uint64_t turn;            /* how many have begun */
	enum snapshot_kind asked; /* of the one under way; SNAPSHOT_NONE: none is */
	uint64_t until;           /* us; how long it waits for workers */
	enum snapshot_kind next;  /* what the next one is to ask for; SNAPSHOT_NONE: no client waits for it */
};

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
	struct snapshot_round round;
	struct reload reload;
};

/* Before anything else: nothing is open. The engine is engine_open()'s. */
void program_init(struct program *program, int argc, char **argv);
/* Adds what workers do not count: the kernel's counters, and reloads. */
void program_add_counters(const struct program *program, struct counters *counters);

#endif
