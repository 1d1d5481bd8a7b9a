/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first step of attach and check: parsing their arguments. Also the exit codes of all commands. Owns nothing. Main
 * thread, at start-up.
 */
#ifndef ALPNBPF_OPTIONS_COMMAND_LINE_H
#define ALPNBPF_OPTIONS_COMMAND_LINE_H

#include <stdbool.h>

struct options;

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/*
 * Parses the options of attach and check, once this process is in the network namespace of --netns. False, with the
 * exit code, if it printed the help, the version or an error, and the command must end.
 */
bool command_line_parse(struct options *options, int argc, char **argv, int *code);

#endif
