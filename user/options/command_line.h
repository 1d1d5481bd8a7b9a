/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What attach and check do with their words before anything else, and the exit codes of all commands. Owns nothing.
 * Main thread, at the start.
 */
#ifndef ALPNBPF_OPTIONS_COMMAND_LINE_H
#define ALPNBPF_OPTIONS_COMMAND_LINE_H

#include <stdbool.h>

struct options;

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/*
 * Parses the options of attach and check, and prints what they ask for, or what is wrong with them. False, with the
 * exit code, when nothing is left to do: help, the version, or a usage error.
 */
bool command_line_parse(struct options *options, int argc, char **argv, int *code);

#endif
