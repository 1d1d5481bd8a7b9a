// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the configuration file. Accepted options are within their bounds; the same lines, converted here to
 * command-line options, are accepted and give the same options.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/check_options.h"
#include "fuzz/inputs.h"

#define LINES_MAX 128

static struct options options, again;

static void write_file(int fd, const uint8_t *bytes, size_t size)
{
	assert(ftruncate(fd, 0) == 0);
	assert(pwrite(fd, bytes, size, 0) == (ssize_t)size);
}

/* A # at the start of a line, or after a blank, begins a comment. */
static void cut_comment(char *line)
{
	for (char *at = line; *at; at++) {
		if (*at == '#' && (at == line || strchr(" \t\r", at[-1]))) {
			*at = '\0';
			return;
		}
	}
}

static char *trimmed(char *text)
{
	text += strspn(text, " \t\r");
	for (size_t length = strlen(text); length && strchr(" \t\r", text[length - 1]); length--)
		text[length - 1] = '\0';
	return text;
}

/* The command-line word for the line; NULL: none is needed. */
static char *word_of(char *line)
{
	char *equals, *name, *value, *word = NULL;

	cut_comment(line);
	equals = strchr(line, '=');
	if (equals)
		*equals = '\0';
	name = trimmed(line);
	value = equals ? trimmed(equals + 1) : NULL;
	if (!*name && !value)
		return NULL;
	if (strncmp(name, "no-", 3) == 0) { /* the names of all flags */
		if (value && strcmp(value, "no") == 0)
			return NULL;
		value = NULL;
	}
	assert(asprintf(&word, "--%s%s%s", name, value ? "=" : "", value ? value : "") > 0);
	return word;
}

static void check_command_line(const uint8_t *data, size_t size, bool partial)
{
	struct input input = {data, size};
	char *argv[LINES_MAX + 2] = {"attach"}, *line;
	struct sentence why;
	int argc = 1;

	while ((line = input_line(&input))) {
		char *word = word_of(line);

		free(line);
		if (word && argc <= LINES_MAX)
			argv[argc++] = word;
		else
			free(word);
	}
	if (argc <= LINES_MAX) {
		assert(parse_options(&again, argc, argv, partial, &why) == OPTIONS_OK);
		check_same_options(&options, &again);
	}
	while (argc > 1)
		free(argv[--argc]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	char *argv[] = {"attach", "--config", path, NULL};
	struct sentence why;

	if (fd < 0) {
		fd = memfd_create("configuration", MFD_CLOEXEC);
		assert(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	write_file(fd, data, size);
	for (int partial = 0; partial < 2; partial++) {
		if (parse_options(&options, 3, argv, partial, &why) == OPTIONS_OK) {
			check_options(&options, partial);
			check_command_line(data, size, partial);
		} else {
			assert(strncmp(why.text, path, strlen(path)) == 0 || strncmp(why.text, "--", 2) == 0);
		}
	}
	return 0;
}
