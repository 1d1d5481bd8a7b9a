/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The asking side of the control socket, for status, sessions, detach and the like. For a process that lives as long as
 * its question: it may block, within the bounds named here.
 */
#ifndef ALPNBPF_COMMANDS_CLIENT_H
#define ALPNBPF_COMMANDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/sentence.h"

/* A flag of such a command, or an option with a value; exactly one of the two pointers is set. */
struct client_option {
	const char *name; /* with its dashes; NULL ends a list */
	bool *flag;
	const char **value;
};

/*
 * Parses argv[1..] of the command; --name NAME goes to *name and --help prints `usage`. False: the command is over with
 * *code, and an error was printed.
 */
bool client_options(int argc, char **argv, const struct client_option *options, const char *usage, const char **name,
		    int *code);

/* How an answer comes. */
enum client_answer {
	CLIENT_AT_ONCE,  /* all of it within seconds */
	CLIENT_LATER,    /* its beginning may take as long as a reload, and one before that: half a minute */
	CLIENT_FOLLOWED, /* its beginning within seconds, the rest whenever it likes */
};

/*
 * Asks the instance `name`, or without one the only one there is. The answer after its "ok" line, to be read and
 * closed; NULL with a sentence in why.
 */
FILE *client_ask(const char *name, const char *request, enum client_answer how, struct sentence *why);

/* Copies the rest of an answer to stdout as it comes, and closes it. 0, or -errno and why. */
int client_copy(FILE *answer, struct sentence *why);

#endif
