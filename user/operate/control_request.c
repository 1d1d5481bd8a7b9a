// SPDX-License-Identifier: BSD-2-Clause
/* The requests to the control socket: their commands, and the words after each. Pure; any thread. */
#include "operate/control_request.h"

#include <stdio.h>
#include <string.h>

#include "hello/rules.h"

static bool read_nothing(struct control_request *request, const char *words, struct sentence *why)
{
	(void)request;
	return !*words || sentence_refuse(why, "expected nothing after the command");
}

static bool read_format(struct control_request *request, const char *words, struct sentence *why)
{
	request->json = strcmp(words, "json") == 0;
	if (request->json || strcmp(words, "text") == 0)
		return true;
	return sentence_refuse(why, "expected \"text\" or \"json\"");
}

static bool read_route(struct control_request *request, const char *name)
{
	for (int route = ROUTE_HTTPS; route < ROUTES; route++) {
		if (strcmp(route_name((enum route)route), name) != 0)
			continue;
		request->route = (enum route)route;
		return true;
	}
	return false;
}

static bool read_trace(struct control_request *request, const char *words, struct sentence *why)
{
	size_t length = strcspn(words, " ");

	request->json = length == 4 && strncmp(words, "json", length) == 0;
	if (!request->json && (length != 4 || strncmp(words, "text", length) != 0))
		return sentence_refuse(why, "expected \"text\" or \"json\", then a route or nothing");
	if (words[length] && !read_route(request, words + length + 1))
		return sentence_refuse(why, "no such route");
	return true;
}

static bool read_now(struct control_request *request, const char *words, struct sentence *why)
{
	request->now = strcmp(words, "now") == 0;
	if (request->now || !*words)
		return true;
	return sentence_refuse(why, "expected \"now\" or nothing");
}

static const struct {
	const char *name;
	bool (*read_words)(struct control_request *request, const char *words, struct sentence *why);
} commands[CONTROL_COMMANDS] = {
	[CONTROL_STATUS] = {"status", read_format},  [CONTROL_SESSIONS] = {"sessions", read_format},
	[CONTROL_READY] = {"ready", read_nothing},   [CONTROL_TRACE] = {"trace", read_trace},
	[CONTROL_RELOAD] = {"reload", read_nothing}, [CONTROL_DETACH] = {"detach", read_now},
};

static bool refuse_command(struct sentence *why)
{
	char list[128] = "";
	size_t used = 0;

	for (int i = 0; i < CONTROL_COMMANDS && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", commands[i].name);
	return sentence_refuse(why, "unknown command; known commands: %s", list);
}

bool control_request_parse(struct control_request *request, const char *line, struct sentence *why)
{
	size_t length = strcspn(line, " ");
	const char *words = line + length + strspn(line + length, " ");

	*request = (struct control_request){.route = ROUTE_UNDECIDED};
	for (int i = 0; i < CONTROL_COMMANDS; i++) {
		if (strlen(commands[i].name) != length || strncmp(commands[i].name, line, length) != 0)
			continue;
		request->command = (enum control_command)i;
		return commands[i].read_words(request, words, why);
	}
	return refuse_command(why);
}

const char *control_command_name(enum control_command command)
{
	return commands[command].name;
}
