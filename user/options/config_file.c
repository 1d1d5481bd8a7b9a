// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads the configuration file line by line into the same parser that the command line goes through. Owns nothing; on
 * the thread of options_parse().
 */
#include "options/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options/table.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (is_blank(*text))
		text++;
	while (end > text && is_blank(end[-1]))
		*--end = '\0';
	return text;
}

/* A # inside of a word is part of it: it may be in a path. */
static void cut_comment(char *line)
{
	for (char *at = line; (at = strchr(at, '#')); at++) {
		if (at == line || is_blank(at[-1])) {
			*at = '\0';
			return;
		}
	}
}

static bool apply_flag(struct parser *parser, const struct option_spec *spec, const char *value)
{
	if (value && strcmp(value, "no") == 0)
		return true;
	if (value && strcmp(value, "yes") != 0)
		return sentence_refuse(parser->why, "%s = %s: is neither yes nor no", spec->name, value);
	return option_apply(parser, spec, NULL);
}

static bool apply_line(struct parser *parser, char *line)
{
	char *equals = strchr(line, '='), *name, *value = NULL;
	const struct option_spec *spec;

	if (equals) {
		*equals = '\0';
		value = trim(equals + 1);
	}
	name = trim(line);
	spec = option_find(name, strlen(name));
	if (!spec)
		return sentence_refuse(parser->why,
				       "%s: is not an option; alpnbpf attach --help lists them, without the --", name);
	if (spec->not_in_file)
		return sentence_refuse(parser->why, "%s: belongs on the command line", name);
	if (!spec->argument)
		return apply_flag(parser, spec, value);
	if (!value)
		return sentence_refuse(parser->why, "%s: its value is missing; write %s = %s", name, name,
				       spec->argument);
	return option_apply(parser, spec, value);
}

/* The sentence names an option as the command line does; here it has no dashes, but a file and a line. */
static void add_place(struct parser *parser, const char *path, unsigned int number)
{
	const char *text = parser->why->text;

	sentence_set(parser->why, "%s:%u: %s", path, number, text + (strncmp(text, "--", 2) == 0 ? 2 : 0));
}

static bool read_lines(struct parser *parser, const char *path, FILE *file)
{
	unsigned int number = 0;
	char *line = NULL, *text;
	size_t size = 0;
	ssize_t length;
	bool good = true;

	while (good && (length = getline(&line, &size, file)) >= 0) {
		parser->line = ++number;
		if (strlen(line) != (size_t)length)
			good = sentence_refuse(parser->why, "holds a NUL byte: this is no text file");
		if (!good)
			break;
		cut_comment(line);
		text = trim(line);
		good = !*text || apply_line(parser, text);
	}
	if (!good)
		add_place(parser, path, number);
	else if (ferror(file))
		good = sentence_refuse(parser->why, "--config %s: %s", path, strerror(errno));
	free(line);
	return good;
}

bool config_file_read(struct parser *parser, const char *path)
{
	FILE *file = fopen(path, "re");
	bool good;

	if (!file)
		return sentence_refuse(parser->why, "--config %s: %s", path, strerror(errno));
	good = read_lines(parser, path, file);
	fclose(file);
	return good;
}
