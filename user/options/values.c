// SPDX-License-Identifier: BSD-2-Clause
/*
 * The parsers of plain values: numbers, times, sizes, choices, names. Owns nothing; on the thread of options_parse().
 * See parser.h.
 */
#include "options/parser.h"
#include "system/user.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MOST_MS (576ULL * 3600 * 1000) /* 24 days: in ms it fits into an int, as poll() needs */

static unsigned int *field_uint(const struct parser *parser)
{
	return (unsigned int *)((char *)parser->options + parser->spec->offset);
}

/* Parses the leading digits, and returns what follows them. NULL if there are none, or more than any option needs. */
static const char *scan_digits(unsigned long long *value, const char *text)
{
	const char *end = text;

	*value = 0;
	for (; *end >= '0' && *end <= '9'; end++) {
		if (end - text > 15)
			return NULL;
		*value = *value * 10 + (unsigned long long)(*end - '0');
	}
	return end > text ? end : NULL;
}

bool option_parse_number(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;
	unsigned long long value;
	const char *end = scan_digits(&value, text);

	if (!end || *end || value > spec->most || (value < spec->least && !(value == 0 && spec->zero)))
		return sentence_refuse(parser->why, "--%s %s: not a number from %llu to %llu%s", spec->name, text,
				       spec->least, spec->most, spec->zero ? ", or 0 for no limit" : "");
	*field_uint(parser) = (unsigned int)value;
	return true;
}

bool option_parse_duration(struct parser *parser, const char *text)
{
	static const struct {
		const char *name;
		unsigned int ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
	const struct option_spec *spec = parser->spec;
	unsigned long long value;
	const char *unit = scan_digits(&value, text);
	unsigned int factor = 0;

	for (size_t i = 0; unit && i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(unit, units[i].name) == 0)
			factor = units[i].ms;
	if (factor == 0)
		return sentence_refuse(
			parser->why,
			"--%s %s: not a duration; write a whole number and ms, s, m or h, such as 500ms or 10s",
			spec->name, text);
	if (value > DURATION_MOST_MS / factor)
		return sentence_refuse(parser->why, "--%s %s: too long; the limit is 576h (24 days)", spec->name, text);
	if (value == 0 && !spec->zero)
		return sentence_refuse(parser->why, "--%s %s: too short; it must be at least 1ms", spec->name, text);
	*field_uint(parser) = (unsigned int)(value * factor);
	return true;
}

bool option_parse_size(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;
	unsigned long long value;
	const char *unit = scan_digits(&value, text);
	unsigned int shift = 0;

	if (unit && (strcmp(unit, "K") == 0 || strcmp(unit, "k") == 0))
		shift = 10;
	else if (unit && (strcmp(unit, "M") == 0 || strcmp(unit, "m") == 0))
		shift = 20;
	else if (!unit || *unit)
		return sentence_refuse(
			parser->why, "--%s %s: not a size; write a number of bytes, or a number and K or M, such as 1M",
			spec->name, text);
	if (value > spec->most >> shift || value << shift < spec->least)
		return sentence_refuse(parser->why, "--%s %s: out of range (%lluK to %lluM)", spec->name, text,
				       spec->least >> 10, spec->most >> 20);
	*field_uint(parser) = (unsigned int)(value << shift);
	return true;
}

bool option_parse_choice(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;
	const char *name = spec->argument;
	unsigned int value = 0;

	for (;; name++, value++) {
		size_t length = strcspn(name, "|");

		if (strlen(text) == length && strncmp(name, text, length) == 0) {
			*field_uint(parser) = value;
			return true;
		}
		name += length;
		if (!*name)
			break;
	}
	return sentence_refuse(parser->why, "--%s %s: not one of %s", spec->name, text, spec->argument);
}

bool option_parse_off(struct parser *parser, const char *text)
{
	(void)text;
	*((bool *)parser->options + parser->spec->offset) = false;
	return true;
}

static void store_text(struct parser *parser, const char *text)
{
	char *field = (char *)parser->options + parser->spec->offset;

	memset(field, 0, parser->spec->size);
	memcpy(field, text, strlen(text) + 1);
}

bool option_parse_name(struct parser *parser, const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t length = strlen(text);

	if (length >= parser->spec->size || strspn(text, allowed) != length || *text == '.')
		return sentence_refuse(
			parser->why,
			"--name %s: not a name; use up to %zu letters, digits, \"-\", \"_\" and \".\", and no \".\" at the start",
			text, parser->spec->size - 1);
	store_text(parser, text);
	return true;
}

bool option_parse_account(struct parser *parser, const char *text)
{
	if (strlen(text) >= parser->spec->size)
		return sentence_refuse(parser->why, "--%s %s: too long for a name", parser->spec->name, text);
	store_text(parser, text);
	return true;
}

/* False if there is no such user. */
static bool find_user(const char *name, unsigned int *uid)
{
	char text[4096], *end;
	struct passwd user, *found = NULL;
	unsigned long number;

	user_look_up_in_files();
	if (getpwnam_r(name, &user, text, sizeof(text), &found) == 0 && found) {
		*uid = user.pw_uid;
		return true;
	}
	number = strtoul(name, &end, 10);
	*uid = (unsigned int)number;
	return *name >= '0' && *name <= '9' && !*end && number < UINT_MAX; /* the last one is nobody's */
}

bool option_parse_owner(struct parser *parser, const char *text)
{
	struct owner *owner = (struct owner *)((char *)parser->options + parser->spec->offset);

	*owner = (struct owner){.kind = OWNER_ANY};
	if (strcmp(text, "any") == 0)
		return true;
	owner->kind = OWNER_USER;
	if (find_user(text, &owner->uid))
		return true;
	return sentence_refuse(parser->why, "--%s %s: no such user; use a user's name or number, or any",
			       parser->spec->name, text);
}
