/* SPDX-License-Identifier: BSD-2-Clause */
/* The asking side of the control socket, for status, sessions, detach and the like. Prints its errors. */
#ifndef ALPNBPF_COMMANDS_CLIENT_H
#define ALPNBPF_COMMANDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A flag of such a command, or an option with a value; exactly one of the two pointers is set. */
struct client_option {
	const char *name; /* with its dashes; NULL ends a list */
	bool *flag;
	const char **value;
};

/*
 * Parses argv[1..] of the command; --name NAME goes to *name and --help prints `usage`. False: the command is over with
 * *code.
 */
bool client_options(int argc, char **argv, const struct client_option *options, const char *usage, const char **name,
		    int *code);

/*
 * Asks the instance `name` (NULL: the only one there is). The answer after its "ok" line, to be read and closed; NULL
 * after an error was printed for `command`, or if quiet. `last`: the answer ends whenever it likes, not within seconds.
 */
FILE *client_ask(const char *command, const char *name, const char *request, bool last, bool quiet);

/* Copies the rest of an answer to stdout as it comes, and closes it. False: it broke off, and an error was printed. */
bool client_copy(const char *command, FILE *answer);

#endif
