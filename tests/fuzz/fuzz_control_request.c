// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes requests to the control socket. There are few valid ones, and all are listed here: the parser must accept
 * each, with the permitted blanks, and nothing else.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/inputs.h"
#include "hello/rules.h"
#include "operate/control_request.h"

#define REQUESTS_MAX 128

struct known {
	char line[32];
	struct control_request request;
};

static struct known known[REQUESTS_MAX];
static size_t known_count;

static void add(const char *words, struct control_request request)
{
	struct known *entry = &known[known_count++];

	assert(known_count <= REQUESTS_MAX);
	entry->request = request;
	snprintf(entry->line, sizeof(entry->line), "%s%s%s", control_command_name(request.command), *words ? " " : "",
		 words);
}

static void add_trace(const char *format, bool json, enum route route)
{
	char words[32];

	snprintf(words, sizeof(words), "%s%s%s", format, route ? " " : "", route ? route_name(route) : "");
	add(words, (struct control_request){.command = CONTROL_TRACE, .json = json, .route = route});
}

static bool is_same(const struct control_request *a, const struct control_request *b)
{
	return a->command == b->command && a->json == b->json && a->now == b->now && a->route == b->route;
}

static void make_known(void)
{
	add("text", (struct control_request){.command = CONTROL_STATUS});
	add("json", (struct control_request){.command = CONTROL_STATUS, .json = true});
	add("text", (struct control_request){.command = CONTROL_SESSIONS});
	add("json", (struct control_request){.command = CONTROL_SESSIONS, .json = true});
	add("", (struct control_request){.command = CONTROL_READY});
	add("", (struct control_request){.command = CONTROL_RELOAD});
	add("", (struct control_request){.command = CONTROL_DETACH});
	add("now", (struct control_request){.command = CONTROL_DETACH, .now = true});
	for (unsigned int route = ROUTE_UNDECIDED; route < ROUTES; route++) {
		add_trace("text", false, (enum route)route);
		add_trace("json", true, (enum route)route);
	}
	for (size_t i = 0; i < known_count; i++) {
		struct control_request request;
		struct sentence why = {0};

		assert(control_request_parse(&request, known[i].line, &why));
		assert(is_same(&request, &known[i].request));
	}
}

/* Blanks after the command count as one, or as none at the end. */
static bool is_line(const char *line, const char *known_line)
{
	size_t length = strcspn(known_line, " ");
	const char *words = known_line + length + (known_line[length] == ' ');

	if (strncmp(line, known_line, length) != 0 || (line[length] && line[length] != ' '))
		return false;
	if (*words && line[length] != ' ')
		return false;
	line += length;
	return strcmp(line + strspn(line, " "), words) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	const struct known *expected = NULL;
	struct control_request request;
	struct sentence why = {0};
	char *line = input_text(&input);

	if (!known_count)
		make_known();
	for (size_t i = 0; i < known_count && !expected; i++)
		if (is_line(line, known[i].line))
			expected = &known[i];
	if (control_request_parse(&request, line, &why)) {
		assert(expected && is_same(&request, &expected->request));
		assert(!why.text[0]);
	} else {
		assert(!expected && why.text[0]);
	}
	free(line);
	return 0;
}
