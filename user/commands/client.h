/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client side of the control socket, for status, sessions, detach and so on. For a process that makes one request
 * and ends: calls may block, within the limits named below.
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
 * Parses argv[1..] of the command; --name NAME goes to *name and --help prints `usage`. False, with the exit code, if
 * the command must end: after --help, or after an error, which was printed.
 */
bool client_options(int argc, char **argv, const struct client_option *options, const char *usage, const char **name,
		    int *code);

/* How long an answer may take. */
enum client_answer {
	CLIENT_AT_ONCE,  /* all of it within seconds */
	CLIENT_LATER,    /* its first line may take 30 s, as long as two reloads */
	CLIENT_FOLLOWED, /* its first line within seconds, the rest at any time */
};

/*
 * Sends a request to the instance `name`, or without a name to the only one that runs. Returns the answer after its
 * "ok" line, which the caller reads and closes. NULL, and why, on failure.
 */
FILE *client_ask(const char *name, const char *request, enum client_answer how, struct sentence *why);

/* Copies the rest of an answer to stdout as it comes, and closes it. 0, or -errno and why. */
int client_copy(FILE *answer, struct sentence *why);

#endif
