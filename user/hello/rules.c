// SPDX-License-Identifier: BSD-2-Clause
/*
 * The rules of --route as text, as patterns and as tables. include/clienthello_rules.h says what a table means; the
 * parser in include/clienthello.h reads it, in the kernel and in user space. Owns nothing. Any thread.
 */
#include "hello/rules.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hello/hex_text.h"

#define HOST_MAX  253 /* RFC 1035, without the length bytes and the root */
#define LABEL_MAX 63

static const char acme_name[] = "acme-tls/1", blanks[] = " \t";
static const char *const kind_names[CLIENTHELLO_KINDS] = {[CLIENTHELLO_ALPN] = "alpn", [CLIENTHELLO_SNI] = "sni"};

/* The item being parsed, and where an error goes. */
struct reader {
	struct sentence *why;
	const char *item;
	int item_length;
};

/* An error that starts with the item, cut if it is long. */
static bool fail_item(const struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail_item(const struct reader *reader, const char *format, ...)
{
	bool whole = reader->item_length < ROUTE_TEXT_MAX;
	char wrong[SENTENCE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(wrong, sizeof(wrong), format, arguments);
	va_end(arguments);
	return sentence_refuse(reader->why, "\"%.*s%s\" %s", whole ? reader->item_length : ROUTE_TEXT_MAX, reader->item,
			       whole ? "" : "...", wrong);
}

/* --- one name --- */

static bool read_protocol(const struct reader *reader, struct route_pattern *pattern)
{
	const char *at = reader->item, *end = at + reader->item_length;
	size_t length = 0;

	for (; at < end; at++) {
		uint8_t byte = (uint8_t)*at;

		if (byte <= ' ' || byte > '~')
			return fail_item(reader, "contains the byte 0x%02x; write it as \\x%02x", byte, byte);
		if (byte == '\\') {
			int high = end - at > 3 && at[1] == 'x' ? hex_digit(at[2]) : -1;
			int low = high >= 0 ? hex_digit(at[3]) : -1;

			if (low < 0)
				return fail_item(
					reader,
					"has a \\ without xNN; write a byte as \\x and two hex digits, a \\ as \\x5c");
			byte = (uint8_t)(high * 16 + low);
			at += 3;
		}
		if (length == ROUTE_NAME_MAX)
			return fail_item(reader, "is too long; an ALPN name can have %d bytes at most", ROUTE_NAME_MAX);
		pattern->bytes[length++] = byte;
	}
	pattern->length = (uint8_t)length;
	if (length == strlen(acme_name) && memcmp(pattern->bytes, acme_name, length) == 0)
		return fail_item(reader, "always goes to --acme, whatever the rules say; leave it out");
	return true;
}

static bool read_host(const struct reader *reader, struct route_pattern *pattern)
{
	const char *at = reader->item, *end = at + reader->item_length;
	size_t length = 0, label = 0;

	if (end - at > 1 && at[0] == '*' && at[1] == '.') {
		pattern->suffix = true;
		pattern->bytes[length++] = '.';
		at += 2;
	}
	for (; at < end; at++) {
		unsigned char c = (unsigned char)*at;

		if (c == '*')
			return fail_item(reader,
					 "has a misplaced *; use it as in *.example.org, for one label or more");
		if (c > '~')
			return fail_item(reader, "is not ASCII; write the name in its xn-- form (as idn2 prints it)");
		if (!isalnum(c) && c != '-' && c != '_' && c != '.')
			return fail_item(reader, "contains \"%c\", which is not allowed in a host name", c);
		label = c == '.' ? 0 : label + 1;
		if (c == '.' && at + 1 == end)
			return fail_item(reader, "ends with a dot; leave it out, as clients do");
		if (c == '.' && (at == reader->item || at[-1] == '.'))
			return fail_item(reader, "has an empty label; write a name like www.example.org");
		if (label > LABEL_MAX || length == HOST_MAX)
			return fail_item(reader, "is too long; a host name can have %d bytes, a label %d", HOST_MAX,
					 LABEL_MAX);
		pattern->bytes[length++] = (uint8_t)tolower(c);
	}
	pattern->length = (uint8_t)length;
	if (length < 1 + (size_t)pattern->suffix)
		return fail_item(reader, "names no host; write a name like *.example.org");
	return true;
}

/* Does `outer` match every name that `inner` matches? */
static bool pattern_covers(const struct route_pattern *outer, const struct route_pattern *inner)
{
	size_t before = (size_t)inner->length - outer->length;

	if (!outer->suffix)
		return !inner->suffix && inner->length == outer->length &&
		       memcmp(inner->bytes, outer->bytes, outer->length) == 0;
	/* a suffix does not match the name that equals it, only longer ones */
	if (inner->length < outer->length || (inner->length == outer->length && !inner->suffix))
		return false;
	return memcmp(inner->bytes + before, outer->bytes, outer->length) == 0;
}

/* --- one rule --- */

static bool add_name(struct routes *routes, enum clienthello_kind kind, struct clienthello_rule *rule,
		     const struct reader *reader)
{
	unsigned int *count = &routes->pattern_count[kind];
	struct route_pattern pattern = {0};

	if (kind == CLIENTHELLO_ALPN && *count == 0)
		*count = 1; /* CLIENTHELLO_ACME_BIT */
	if (!reader->item_length)
		return sentence_refuse(reader->why, "empty name in %s=; separate names by one comma", kind_names[kind]);
	if (!(kind == CLIENTHELLO_ALPN ? read_protocol(reader, &pattern) : read_host(reader, &pattern)))
		return false;
	for (unsigned int i = 0; i < *count; i++)
		if (rule->any_of[kind] >> i & 1 && pattern_covers(&routes->patterns[kind][i], &pattern))
			return fail_item(reader, "is already matched by a name before it; leave it out");
	if (*count == CLIENTHELLO_NAMES_MAX)
		return fail_item(reader, "is one too many; all rules together can have %d names in %s=",
				 CLIENTHELLO_NAMES_MAX - (kind == CLIENTHELLO_ALPN), kind_names[kind]);
	routes->patterns[kind][*count] = pattern;
	rule->any_of[kind] |= (uint64_t)1 << (*count)++;
	return true;
}

/* One alpn=NAME,... or sni=HOST,... */
static bool add_word(struct routes *routes, struct clienthello_rule *rule, struct reader *reader)
{
	const char *word = reader->item, *end = word + reader->item_length;

	for (int kind = 0; kind < CLIENTHELLO_KINDS; kind++) {
		size_t length = strlen(kind_names[kind]);
		const char *at = word + length;

		if ((size_t)(end - word) <= length || strncmp(word, kind_names[kind], length) != 0 || *at != '=')
			continue;
		if (rule->any_of[kind])
			return sentence_refuse(reader->why,
					       "%s= is given twice; write all names in one, separated by commas",
					       kind_names[kind]);
		do {
			const char *comma;

			at++;
			comma = memchr(at, ',', (size_t)(end - at));
			reader->item = at;
			reader->item_length = (int)((comma ? comma : end) - at);
			if (!add_name(routes, (enum clienthello_kind)kind, rule, reader))
				return false;
			at = comma;
		} while (at);
		return true;
	}
	return fail_item(
		reader,
		"is neither alpn=NAME,... nor sni=HOST,... (a rule is one or both of these, then \"->\" and a BACKEND)");
}

static bool kind_covers(const struct routes *routes, int kind, uint64_t outer, uint64_t inner)
{
	const struct route_pattern *patterns = routes->patterns[kind];

	if (!outer)
		return true;
	for (unsigned int i = 0; i < routes->pattern_count[kind]; i++) {
		bool covered = !(inner >> i & 1);

		for (unsigned int o = 0; !covered && o < routes->pattern_count[kind]; o++)
			covered = outer >> o & 1 && pattern_covers(&patterns[o], &patterns[i]);
		if (!covered)
			return false;
	}
	return inner != 0;
}

/* A rule that can never match is a mistake of the operator's. */
static bool check_reachable(const struct routes *routes, const struct clienthello_rule *rule,
			    const struct reader *reader)
{
	char text[ROUTE_TEXT_MAX];

	for (unsigned int i = 0; i < routes->count; i++) {
		const struct clienthello_rule *before = &routes->rules[i];
		bool covered = true;

		for (int kind = 0; kind < CLIENTHELLO_KINDS; kind++)
			covered = covered && kind_covers(routes, kind, before->any_of[kind], rule->any_of[kind]);
		if (covered)
			return sentence_refuse(
				reader->why,
				"can never match: route-%u (%s) comes first and matches everything that this rule does; change the order",
				i + 1, routes_format(routes, i, text, sizeof(text)));
	}
	return true;
}

bool routes_add(struct routes *routes, const char *text, unsigned int line, const char **backend, struct sentence *why)
{
	struct reader reader = {.why = why};
	struct clienthello_rule rule = {0};
	const char *at = text;

	if (routes->count == CLIENTHELLO_RULES_MAX)
		return sentence_refuse(reader.why, "one rule too many; the limit is %d", CLIENTHELLO_RULES_MAX);
	for (;;) {
		reader.item = at + strspn(at, blanks);
		reader.item_length = (int)strcspn(reader.item, blanks);
		at = reader.item + reader.item_length;
		if (!reader.item_length)
			return sentence_refuse(
				reader.why,
				"no \"->\" between blanks; write a rule like 'sni=www.example.org -> 127.0.0.1:9443'");
		if (reader.item_length == 2 && strncmp(reader.item, "->", 2) == 0)
			break;
		if (!add_word(routes, &rule, &reader))
			return false;
	}
	if (!rule.any_of[CLIENTHELLO_ALPN] && !rule.any_of[CLIENTHELLO_SNI])
		return sentence_refuse(
			reader.why,
			"no condition before the \"->\"; write sni=HOST, alpn=NAME or both (what no rule matches goes to --https)");
	*backend = at + strspn(at, blanks);
	if (!**backend)
		return sentence_refuse(reader.why, "no BACKEND after the \"->\"; write one, as in -> 127.0.0.1:9443");
	if (!check_reachable(routes, &rule, &reader))
		return false;
	routes->lines[routes->count] = line;
	routes->rules[routes->count++] = rule;
	return true;
}

/* --- tables --- */

static void compile_pattern(struct clienthello_rules *table, unsigned int kind, unsigned int bit,
			    const struct route_pattern *pattern)
{
	uint64_t mask = (uint64_t)1 << bit;
	unsigned int longest = pattern->suffix ? CLIENTHELLO_LENGTHS - 1 : pattern->length;

	for (unsigned int length = pattern->length + (unsigned int)pattern->suffix; length <= longest; length++)
		table->start[clienthello_start(kind, length)] |= mask;
	for (unsigned int i = 0; i < pattern->length; i++) {
		uint8_t byte = pattern->bytes[pattern->length - 1 - i];

		table->accept[clienthello_accept(kind, i, byte)] |= mask;
		if (kind == CLIENTHELLO_SNI && byte >= 'a' && byte <= 'z')
			table->accept[clienthello_accept(kind, i, byte - 'a' + 'A')] |= mask;
	}
	for (unsigned int i = pattern->length; i < longest; i++)
		for (unsigned int byte = 0; byte < 256; byte++)
			table->accept[clienthello_accept(kind, i, byte)] |= mask;
}

void routes_compile(const struct routes *routes, struct clienthello_rules *table)
{
	struct route_pattern acme = {.length = sizeof(acme_name) - 1};

	memcpy(acme.bytes, acme_name, acme.length);
	compile_pattern(table, CLIENTHELLO_ALPN, 0, &acme);
	for (unsigned int kind = 0; kind < CLIENTHELLO_KINDS; kind++)
		for (unsigned int i = kind == CLIENTHELLO_ALPN; i < routes->pattern_count[kind]; i++)
			compile_pattern(table, kind, i, &routes->patterns[kind][i]);
	memcpy(table->rules, routes->rules, sizeof(table->rules));
	table->count = routes->count;
}

/* --- names --- */

static size_t format_pattern(const struct route_pattern *pattern, char *out)
{
	size_t used = 0;

	if (pattern->suffix)
		out[used++] = '*';
	for (unsigned int i = 0; i < pattern->length; i++) {
		uint8_t byte = pattern->bytes[i];

		if (byte > ' ' && byte <= '~' && byte != ',' && byte != '\\')
			out[used++] = (char)byte;
		else
			used += (size_t)snprintf(out + used, sizeof("\\xNN"), "\\x%02x", byte);
	}
	return used;
}

const char *routes_format(const struct routes *routes, unsigned int rule, char *out, size_t size)
{
	static const enum clienthello_kind order[] = {CLIENTHELLO_SNI, CLIENTHELLO_ALPN};
	char name[1 + 4 * ROUTE_NAME_MAX + 1];
	size_t used = 0;

	*out = '\0';
	for (unsigned int k = 0; k < CLIENTHELLO_KINDS; k++) {
		enum clienthello_kind kind = order[k];
		uint64_t names = routes->rules[rule].any_of[kind];
		bool first = true;

		for (unsigned int i = 0; i < CLIENTHELLO_NAMES_MAX; i++) {
			size_t length;

			if (!(names >> i & 1))
				continue;
			length = format_pattern(&routes->patterns[kind][i], name);
			/* room for " sni=" or "," before it, and for "..." after it if it is the last that fits */
			if (used + 6 + length + sizeof("...") > size) {
				snprintf(out + used, size - used, "...");
				return out;
			}
			used += (size_t)snprintf(out + used, size - used, "%s%s%s%.*s", first && used ? " " : "",
						 first ? kind_names[kind] : ",", first ? "=" : "", (int)length, name);
			first = false;
		}
	}
	return out;
}

const char *route_name(enum route route)
{
	static const char *const names[ROUTES] = {
		"undecided", "https",    "acme",     "route-1",  "route-2",  "route-3",  "route-4",
		"route-5",   "route-6",  "route-7",  "route-8",  "route-9",  "route-10", "route-11",
		"route-12",  "route-13", "route-14", "route-15", "route-16", "route-17", "route-18",
		"route-19",  "route-20", "route-21", "route-22", "route-23", "route-24", "route-25",
		"route-26",  "route-27", "route-28", "route-29", "route-30", "route-31", "route-32",
	};

	return names[route];
}
