/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands. Each gets argv from its own name on and returns the exit code: 0 done, 1 failed, 2 usage.
 */
#ifndef ALPNBPF_COMMANDS_H
#define ALPNBPF_COMMANDS_H

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int cmd_attach(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_inspect(int argc, char **argv);

#endif
