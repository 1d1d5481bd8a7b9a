/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a running attach, as far as operate/ reads and changes it. attach/ creates it and tears it down. Only
 * the main thread uses it, except that workers write parts of `engine`.
 */
#ifndef ALPNBPF_OPERATE_PROGRAM_H
#define ALPNBPF_OPERATE_PROGRAM_H

#include "operate/control.h"
#include "operate/reload.h"
#include "operate/server.h"
#include "options/options.h"
#include "engine/engine.h"
#include "engine/snapshot.h"
#include "system/sandbox.h"

/* The phases follow in this order; attach/ending.c moves from one to the next. */
enum program_phase {
	PROGRAM_STARTING, /* nothing is served yet */
	PROGRAM_RUNNING,
	PROGRAM_SETTLING, /* no new connections are steered to us; waits for those under way */
	PROGRAM_DRAINING, /* the workers accept no connections; their sessions have time to end */
	PROGRAM_ENDING,   /* the workers reset their sessions, and end */
	PROGRAM_COMMAND,  /* all workers have ended; waits for the command, which got SIGTERM */
};

/* An end requested through the control socket, for the main loop. */
enum program_end { END_NOT_ASKED, END_DRAIN, END_NOW };

/* Workers make snapshots in rounds; a round serves the clients whose requests came before it began. */
struct snapshot_round {
	uint64_t turn;            /* rounds begun so far */
	enum snapshot_kind asked; /* by the current round; SNAPSHOT_NONE: there is none */
	uint64_t until;           /* us; when it stops waiting for workers */
	enum snapshot_kind next;  /* for the next round; SNAPSHOT_NONE: no client waits for one */
};

struct program {
	enum program_phase phase;
	enum program_end end_asked;
	struct options options; /* the newest ones */
	int argc;
	char **argv; /* a reload parses it again */
	struct engine engine;
	char dataplane_text[768]; /* the data plane and why, for the ready line */
	uint64_t started;         /* us */
	struct servers servers;
	struct user user;              /* that this process becomes once set up */
	struct sandbox_report sandbox; /* what became of each stage; set before the first worker runs */
	struct control control;
	struct server control_server, metrics_server;
	struct snapshot_round round;
	struct reload reload;
};

/* Call it first: sets descriptors to NO_DESCRIPTOR. engine_open() sets up the engine. */
void program_init(struct program *program, int argc, char **argv);
/* Adds what the workers do not count: counters in BPF maps, and reloads. */
void program_add_counters(const struct program *program, struct counters *counters);

#endif
