/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands. Each gets argv from its own name on and returns the exit code: 0 done, 1 failed, 2 usage.
 */
#ifndef ALPNBPF_COMMANDS_COMMANDS_H
#define ALPNBPF_COMMANDS_COMMANDS_H

#include <stdbool.h>

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options;

/* Options of attach and check. False, with the exit code, when there is nothing left to do: help, or a usage error. */
bool command_options(struct options *options, int argc, char **argv, int *code);

int cmd_attach(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_sessions(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_inspect(int argc, char **argv);

#endif
