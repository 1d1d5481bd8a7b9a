/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands but attach. Each gets argv from its own name on and returns an exit code (options/command_line.h).
 */
#ifndef ALPNBPF_COMMANDS_COMMANDS_H
#define ALPNBPF_COMMANDS_COMMANDS_H

int cmd_check(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_sessions(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_inspect(int argc, char **argv);

#endif
