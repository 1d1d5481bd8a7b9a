// SPDX-License-Identifier: BSD-2-Clause
/*
 * The entry point: the table of subcommands, --help and --version, the exit code. attach/ and commands/ have the
 * subcommands. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach/attach.h"
#include "commands/commands.h"
#include "options/command_line.h"

static int help_main(int argc, char **argv);
static int version_main(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"attach", attach_main, "route validations on port 443 to the ACME client, in place or in front"},
	{"check", check_main, "check what attach would find with these options: kernel, capabilities, ports, backends"},
	{"status", status_main, "show the state of a running alpnbpf"},
	{"sessions", sessions_main, "list the sessions of a running alpnbpf"},
	{"trace", trace_main, "show ClientHellos as a running alpnbpf routes them"},
	{"reload", reload_main, "make a running alpnbpf re-read its configuration"},
	{"detach", detach_main, "let the sessions of a running alpnbpf finish, then end it"},
	{"inspect", inspect_main, "show where a ClientHello would be routed"},
	{"help", help_main, "show this text, or the help of a command"},
	{"version", version_main, "show the version"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	fprintf(stderr, "alpnbpf: unknown command \"%s\"; \"alpnbpf help\" lists the commands\n", name);
	return EXIT_USAGE;
}

static void print_usage(FILE *stream)
{
	fprintf(stream,
		"Usage: alpnbpf COMMAND [OPTION ...]\n"
		"       alpnbpf attach --acme 10443 --https 443   (in place: the web server stays on port 443)\n"
		"       alpnbpf attach --acme 10443 --https 8443  (in front: the web server listens on 8443)\n"
		"\n"
		"Puts a TLS-ALPN switch on port 443: ACME validations (acme-tls/1) go to the ACME client,\n"
		"everything else to the web server.\n"
		"\n"
		"Commands:\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(stream, "  %-9s %s\n", commands[i].name, commands[i].help);
	fprintf(stream,
		"\n"
		"\"alpnbpf COMMAND --help\" shows a command's options. Exit codes: 0 done, 1 failed, 2 usage.\n");
}

static int help_main(int argc, char **argv)
{
	char *help[] = {argv[argc > 1], "--help", NULL};
	const struct command *command;

	if (argc > 2) {
		fprintf(stderr, "alpnbpf help: too many arguments; give one command at most\n");
		return EXIT_USAGE;
	}
	command = argc == 2 && strcmp(argv[1], "--help") != 0 ? find_command(argv[1]) : NULL;
	if (argc == 2 && !command && strcmp(argv[1], "--help") != 0)
		return unknown_command(argv[1]);
	if (command && command->run != help_main && command->run != version_main)
		return command->run(2, help);
	print_usage(stdout);
	return EXIT_DONE;
}

static int version_main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--help") != 0) {
		fprintf(stderr, "alpnbpf version: takes no argument, but got \"%s\"\n", argv[1]);
		return EXIT_USAGE;
	}
	printf("alpnbpf %s\n", ALPNBPF_VERSION);
	return EXIT_DONE;
}

/* Otherwise a socket could become descriptor 2, and log lines would go to a client. */
static bool standard_descriptors_open(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return fcntl(STDERR_FILENO, F_GETFD) >= 0;
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int code;

	if (!standard_descriptors_open())
		return EXIT_FAILED;
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0)
		command = find_command("help");
	else if (strcmp(argv[1], "--version") == 0)
		command = find_command("version");
	else
		command = find_command(argv[1]);
	if (!command && argv[1][0] == '-') {
		fprintf(stderr, "alpnbpf: give a command before \"%s\"; \"alpnbpf help\" lists the commands\n",
			argv[1]);
		return EXIT_USAGE;
	}
	if (!command)
		return unknown_command(argv[1]);

	code = command->run(argc - 1, argv + 1);
	if ((fflush(stdout) || ferror(stdout)) && code == EXIT_DONE) {
		fprintf(stderr, "alpnbpf: cannot write the output: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return code;
}
