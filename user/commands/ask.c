// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf status`, `sessions`, `trace`, `reload`, `detach`: requests to a running attach through its control socket.
 * Owns nothing; a short-lived process with one thread.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands/client.h"
#include "commands/commands.h"
#include "options/command_line.h"

#define NAME_USAGE "  --name NAME  the instance, if several run\n  --help       show this text\n"

static int print_error(const char *command, const struct sentence *why)
{
	fprintf(stderr, "alpnbpf %s: %s\n", command, why->text);
	return EXIT_FAILED;
}

/* Returns the exit code. */
static int ask_and_print(const char *command, const char *name, const char *request, enum client_answer how)
{
	struct sentence why;
	FILE *answer = client_ask(name, request, how, &why);

	if (!answer || client_copy(answer, &why))
		return print_error(command, &why);
	return EXIT_DONE;
}

/* --- status --- */

static const char status_usage[] =
	"Usage: alpnbpf status [--json] [--watch] [--ready] [--name NAME]\n"
	"\n"
	"Shows the state of a running alpnbpf: mode, backends, sessions, counters.\n"
	"\n"
	"  --json       print one JSON object instead of text\n"
	"  --watch      repeat every second until interrupted\n"
	"  --ready      print nothing; exit code 0 if it accepts connections, else 1\n" NAME_USAGE;

/* Clears a terminal before each answer. Ends when a request fails. */
static int repeat_status(const char *name, const char *request, bool json)
{
	const struct timespec second = {.tv_sec = 1};
	struct sentence why;
	FILE *answer;

	while ((answer = client_ask(name, request, CLIENT_AT_ONCE, &why))) {
		if (!json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		if (client_copy(answer, &why))
			break;
		nanosleep(&second, NULL);
	}
	return print_error("status", &why);
}

/* Prints no reason: the exit code is the answer. */
static int is_ready(const char *name)
{
	struct sentence why;
	FILE *answer = client_ask(name, "ready\n", CLIENT_AT_ONCE, &why);

	if (!answer)
		return EXIT_FAILED;
	fclose(answer);
	return EXIT_DONE;
}

int status_main(int argc, char **argv)
{
	bool json = false, repeats = false, ready = false;
	const struct client_option options[] = {{.name = "--json", .flag = &json},
						{.name = "--watch", .flag = &repeats},
						{.name = "--ready", .flag = &ready},
						{0}};
	const char *name = NULL, *request;
	int code;

	if (!client_options(argc, argv, options, status_usage, &name, &code))
		return code;
	request = json ? "status json\n" : "status text\n";
	if (ready && (json || repeats)) {
		fprintf(stderr, "alpnbpf status: --ready prints nothing; leave out --json and --watch\n");
		return EXIT_USAGE;
	}
	if (ready)
		return is_ready(name);
	if (repeats)
		return repeat_status(name, request, json);
	return ask_and_print("status", name, request, CLIENT_AT_ONCE);
}

/* --- sessions --- */

static const char sessions_usage[] =
	"Usage: alpnbpf sessions [--json] [--name NAME]\n"
	"\n"
	"Lists the live sessions of a running alpnbpf: client, route, backend, bytes, SNI.\n"
	"\n"
	"  --json       print one JSON object per line instead of a table\n" NAME_USAGE;

int sessions_main(int argc, char **argv)
{
	bool json = false;
	const struct client_option options[] = {{.name = "--json", .flag = &json}, {0}};
	const char *name = NULL;
	int code;

	if (!client_options(argc, argv, options, sessions_usage, &name, &code))
		return code;
	return ask_and_print("sessions", name, json ? "sessions json\n" : "sessions text\n", CLIENT_AT_ONCE);
}

/* --- trace --- */

static const char trace_usage[] =
	"Usage: alpnbpf trace [--json] [--route ROUTE] [--name NAME]\n"
	"\n"
	"Prints a line for each session when its route is decided: client, SNI, ALPN, route,\n"
	"backend, outcome and time. ClientHellos that are only read in passing, on their way to\n"
	"the web server, are not shown. Runs until interrupted.\n"
	"\n"
	"  --json         print one JSON object per line\n"
	"  --route ROUTE  only sessions of this route: acme, https, route-1 ...\n" NAME_USAGE;

int trace_main(int argc, char **argv)
{
	const char *name = NULL, *route = NULL;
	bool json = false;
	const struct client_option options[] = {
		{.name = "--json", .flag = &json}, {.name = "--route", .value = &route}, {0}};
	char request[128];
	int code;

	if (!client_options(argc, argv, options, trace_usage, &name, &code))
		return code;
	if (route && (strlen(route) > 64 || strpbrk(route, " \n"))) {
		fprintf(stderr, "alpnbpf trace: --route %s: not the name of a route\n", route);
		return EXIT_USAGE;
	}
	snprintf(request, sizeof(request), "trace %s%s%s\n", json ? "json" : "text", route ? " " : "",
		 route ? route : "");
	return ask_and_print("trace", name, request, CLIENT_FOLLOWED);
}

/* --- reload --- */

static const char reload_usage[] = "Usage: alpnbpf reload [--name NAME]\n"
				   "\n"
				   "Makes a running alpnbpf re-read its configuration file, and prints what changed.\n"
				   "The changes apply to new sessions. If the file has an error, nothing changes.\n"
				   "\n" NAME_USAGE;

int reload_main(int argc, char **argv)
{
	const struct client_option options[] = {{0}};
	const char *name = NULL;
	int code;

	if (!client_options(argc, argv, options, reload_usage, &name, &code))
		return code;
	return ask_and_print("reload", name, "reload\n", CLIENT_LATER);
}

/* --- detach --- */

static const char detach_usage[] =
	"Usage: alpnbpf detach [--now] [--name NAME]\n"
	"\n"
	"Ends a running alpnbpf, as SIGTERM does: it accepts no new connections, and sessions\n"
	"have --drain-timeout to finish. Returns when the process has ended.\n"
	"\n"
	"  --now        reset all sessions at once\n" NAME_USAGE;

int detach_main(int argc, char **argv)
{
	bool now = false;
	const struct client_option options[] = {{.name = "--now", .flag = &now}, {0}};
	const char *name = NULL;
	int code;

	if (!client_options(argc, argv, options, detach_usage, &name, &code))
		return code;
	return ask_and_print("detach", name, now ? "detach now\n" : "detach\n", CLIENT_FOLLOWED);
}
