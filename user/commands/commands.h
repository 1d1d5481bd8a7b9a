/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands except attach. Each gets argv from its own name on and returns an exit code (options/command_line.h).
 */
#ifndef ALPNBPF_COMMANDS_COMMANDS_H
#define ALPNBPF_COMMANDS_COMMANDS_H

int check_main(int argc, char **argv);
int status_main(int argc, char **argv);
int sessions_main(int argc, char **argv);
int trace_main(int argc, char **argv);
int reload_main(int argc, char **argv);
int detach_main(int argc, char **argv);
int inspect_main(int argc, char **argv);

#endif
