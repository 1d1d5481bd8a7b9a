// SPDX-License-Identifier: BSD-2-Clause
/* `alpnbpf status`, `sessions`, `trace`, `reload`, `detach`: what is asked of a running attach through its control
 * socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands/client.h"
#include "commands/commands.h"
#include "options/command_line.h"

#define NAME_USAGE "  --name NAME  of the instance, where several run\n  --help       this text\n"

/* --- status --- */

static const char status_usage[] =
	"Usage: alpnbpf status [--json] [--watch] [--ready] [--name NAME]\n"
	"\n"
	"Shows the state of a running alpnbpf: mode, backends, sessions, counters.\n"
	"\n"
	"  --json       one JSON object instead of text\n"
	"  --watch      again every second, until interrupted\n"
	"  --ready      print nothing; exit code 0 if it accepts connections, else 1\n" NAME_USAGE;

/* What a terminal showed before is cleared; elsewhere one follows the other. */
static int watch(const char *name, const char *request, bool json)
{
	const struct timespec second = {.tv_sec = 1};

	for (;;) {
		FILE *answer = client_ask("status", name, request, false, false);

		if (!answer)
			return EXIT_FAILED;
		if (!json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		if (!client_copy("status", answer) || fflush(stdout))
			return EXIT_FAILED;
		nanosleep(&second, NULL);
	}
}

int status_main(int argc, char **argv)
{
	bool json = false, watches = false, ready = false;
	const struct client_option options[] = {{.name = "--json", .flag = &json},
						{.name = "--watch", .flag = &watches},
						{.name = "--ready", .flag = &ready},
						{0}};
	const char *name = NULL;
	FILE *answer;
	int code;

	if (!client_options(argc, argv, options, status_usage, &name, &code))
		return code;
	if (ready && (json || watches)) {
		fprintf(stderr, "alpnbpf status: --ready prints nothing; leave out --json and --watch\n");
		return EXIT_USAGE;
	}
	if (ready) {
		answer = client_ask("status", name, "ready\n", false, true);
		if (answer)
			fclose(answer);
		return answer ? EXIT_DONE : EXIT_FAILED;
	}
	if (watches)
		return watch(name, json ? "status json\n" : "status text\n", json);
	answer = client_ask("status", name, json ? "status json\n" : "status text\n", false, false);
	return answer && client_copy("status", answer) ? EXIT_DONE : EXIT_FAILED;
}

/* --- sessions --- */

static const char sessions_usage[] = "Usage: alpnbpf sessions [--json] [--name NAME]\n"
				     "\n"
				     "The live sessions of a running alpnbpf: client, route, backend, bytes, SNI.\n"
				     "\n"
				     "  --json       one JSON object a line instead of a table\n" NAME_USAGE;

int sessions_main(int argc, char **argv)
{
	bool json = false;
	const struct client_option options[] = {{.name = "--json", .flag = &json}, {0}};
	const char *name = NULL;
	FILE *answer;
	int code;

	if (!client_options(argc, argv, options, sessions_usage, &name, &code))
		return code;
	answer = client_ask("sessions", name, json ? "sessions json\n" : "sessions text\n", false, false);
	return answer && client_copy("sessions", answer) ? EXIT_DONE : EXIT_FAILED;
}

/* --- trace --- */

static const char trace_usage[] =
	"Usage: alpnbpf trace [--json] [--route ROUTE] [--name NAME]\n"
	"\n"
	"A line for the hello of every session as it is decided: who, SNI, ALPN, route, backend,\n"
	"what came of it and how long that took. Hellos that are only read in passing, on their way\n"
	"to the web server, are not shown. Until interrupted.\n"
	"\n"
	"  --json         one JSON object a line\n"
	"  --route ROUTE  only those of this route: acme, https, route-1 ...\n" NAME_USAGE;

int trace_main(int argc, char **argv)
{
	const char *name = NULL, *route = NULL;
	bool json = false;
	const struct client_option options[] = {
		{.name = "--json", .flag = &json}, {.name = "--route", .value = &route}, {0}};
	char request[128];
	FILE *answer;
	int code;

	if (!client_options(argc, argv, options, trace_usage, &name, &code))
		return code;
	if (route && (strlen(route) > 64 || strpbrk(route, " \n"))) {
		fprintf(stderr, "alpnbpf trace: --route %s: is not the name of a route\n", route);
		return EXIT_USAGE;
	}
	snprintf(request, sizeof(request), "trace %s%s%s\n", json ? "json" : "text", route ? " " : "",
		 route ? route : "");
	answer = client_ask("trace", name, request, true, false);
	return answer && client_copy("trace", answer) ? EXIT_DONE : EXIT_FAILED;
}

/* --- reload --- */

static const char reload_usage[] =
	"Usage: alpnbpf reload [--name NAME]\n"
	"\n"
	"Makes a running alpnbpf read its configuration file again, and says what has changed.\n"
	"New sessions get what is new; a mistake changes nothing.\n"
	"\n" NAME_USAGE;

int reload_main(int argc, char **argv)
{
	const struct client_option options[] = {{0}};
	const char *name = NULL;
	FILE *answer;
	int code;

	if (!client_options(argc, argv, options, reload_usage, &name, &code))
		return code;
	answer = client_ask("reload", name, "reload\n", false, false);
	return answer && client_copy("reload", answer) ? EXIT_DONE : EXIT_FAILED;
}

/* --- detach --- */

static const char detach_usage[] =
	"Usage: alpnbpf detach [--now] [--name NAME]\n"
	"\n"
	"Ends a running alpnbpf, as SIGTERM does: no new connections, and those there are may\n"
	"end within --drain-timeout. Returns when it has ended.\n"
	"\n"
	"  --now        reset the sessions at once\n" NAME_USAGE;

int detach_main(int argc, char **argv)
{
	bool now = false;
	const struct client_option options[] = {{.name = "--now", .flag = &now}, {0}};
	const char *name = NULL;
	FILE *answer;
	int code;

	if (!client_options(argc, argv, options, detach_usage, &name, &code))
		return code;
	answer = client_ask("detach", name, now ? "detach now\n" : "detach\n", true, false);
	return answer && client_copy("detach", answer) ? EXIT_DONE : EXIT_FAILED;
}
