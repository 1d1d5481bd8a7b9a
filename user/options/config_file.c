// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads the configuration file line by line into the parser that also reads the command line. Owns nothing; on the
 * thread of options_parse().
 */
#include "options/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
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

/* A # within a word is part of it, as in a path. */
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
		return sentence_refuse(parser->why, "%s = %s: not yes or no", spec->name, value);
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
		return sentence_refuse(
			parser->why, "unknown option \"%s\"; alpnbpf attach --help lists them (write them without --)",
			name);
	if (spec->not_in_file)
		return sentence_refuse(parser->why, "%s is allowed only on the command line", name);
	if (!spec->argument)
		return apply_flag(parser, spec, value);
	if (!value)
		return sentence_refuse(parser->why, "%s needs a value; write %s = %s", name, name, spec->argument);
	return option_apply(parser, spec, value);
}

/* Turns "--name ..." into "FILE:LINE: name ...". */
static void add_place(struct parser *parser, const char *path, unsigned int number)
{
	const char *text = parser->why->text;

	sentence_set(parser->why, "%s:%u: %s", path, number, text + (strncmp(text, "--", 2) == 0 ? 2 : 0));
}

static bool apply_text(struct parser *parser, char *line, size_t length)
{
	if (strlen(line) != length)
		return sentence_refuse(parser->why, "contains a NUL byte, so it is not a text file");
	cut_comment(line);
	line = trim(line);
	return !*line || apply_line(parser, line);
}

/* The text has room for a NUL at its end. */
static bool apply_lines(struct parser *parser, const char *path, char *text, size_t size)
{
	for (size_t at = 0; at < size;) {
		char *line = text + at, *newline = memchr(line, '\n', size - at);
		size_t length = newline ? (size_t)(newline - line) : size - at;

		line[length] = '\0';
		at += length + 1;
		parser->line++;
		if (!apply_text(parser, line, length)) {
			add_place(parser, path, parser->line);
			return false;
		}
	}
	return true;
}

static int read_all(int fd, struct text *text)
{
	char bytes[4096];
	ssize_t count;

	while ((count = read(fd, bytes, sizeof(bytes))) > 0)
		text_add_bytes(text, bytes, (size_t)count);
	if (count < 0)
		return -errno;
	return text->failed ? -ENOMEM : 0;
}

/* A file that everybody can write to says what anybody wants: it is refused, as by sshd(8). */
static bool is_open_to_all(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_mode & S_IWOTH;
}

static bool is_trusted_group(gid_t group)
{
	return group == 0 || group == getegid();
}

bool config_file_writers(const char *path, struct sentence *who)
{
	struct stat file, folder;
	char copy[PATH_MAX];

	if (stat(path, &file) || !S_ISREG(file.st_mode))
		return false;
	snprintf(copy, sizeof(copy), "%s", path);
	if (file.st_uid != 0 && file.st_uid != geteuid() && file.st_uid != getuid())
		sentence_set(who, "it belongs to uid %u", (unsigned int)file.st_uid);
	else if (file.st_mode & S_IWGRP && !is_trusted_group(file.st_gid))
		sentence_set(who, "the group %u can write to it", (unsigned int)file.st_gid);
	else if (stat(dirname(copy), &folder) == 0 && folder.st_mode & S_IWOTH && !(folder.st_mode & S_ISVTX))
		sentence_set(who, "everybody can replace it, because everybody can write to its folder");
	else
		return false;
	return true;
}

/* Reads the whole file before a host name is looked up: that takes time, and the file may change meanwhile. */
bool config_file_read(struct parser *parser, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = fd < 0 ? -errno : 0;
	struct text text = {0};
	bool good;

	if (!error && is_open_to_all(fd)) {
		close(fd);
		return sentence_refuse(parser->why, "--config %s: everybody can write to it; chmod o-w %s", path, path);
	}
	if (!error)
		error = read_all(fd, &text);
	if (fd >= 0)
		close(fd);
	parser->line = 0;
	good = error ? sentence_refuse(parser->why, "--config %s: %s", path, strerror(-error))
		     : apply_lines(parser, path, text.bytes, text.length);
	text_free(&text);
	return good;
}
