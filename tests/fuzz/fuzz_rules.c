// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the rules of --route. The input's lines are rules, and after an empty line names for hellos. An accepted rule
 * is accepted again as it is printed. Its text is also read here, word by word; the tables made from it must route each
 * hello as a comparison of strings does.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/inputs.h"
#include "hello/describe.h"
#include "hello/hex_text.h"
#include "hello/rules.h"
#include "hellos.h"

#define HELLO_NAMES 12 /* of each kind, per input */
/* The longest rule as it is printed: each name with its escapes and a comma. */
#define PRINTED_MAX (CLIENTHELLO_KINDS * (CLIENTHELLO_NAMES_MAX * (4 * ROUTE_NAME_MAX + 2) + 16))

struct bytes {
	size_t length;
	char bytes[ROUTE_NAME_MAX + 1];
};

static char *rules[CLIENTHELLO_RULES_MAX]; /* as they were accepted */
static struct routes routes;
static struct bytes names[CLIENTHELLO_KINDS][HELLO_NAMES]; /* for the hellos */
static unsigned int name_count[CLIENTHELLO_KINDS];

/* --- a second reader of rules --- */

/* The next name of a kind in the rule, from *at on; false after the last. A rule has at most one word of a kind. */
static bool next_name(const char *rule, enum clienthello_kind kind, const char **at, struct bytes *name)
{
	const char *word = kind == CLIENTHELLO_ALPN ? "alpn=" : "sni=";

	if (!*at) {
		const char *end = rule + strlen(rule);

		for (const char *from = rule + strspn(rule, " \t"); from < end;
		     from += strcspn(from, " \t"), from += strspn(from, " \t")) {
			if (strncmp(from, "-> ", 3) == 0 || strncmp(from, "->\t", 3) == 0)
				break;
			if (strncmp(from, word, strlen(word)) == 0)
				*at = from + strlen(word) - 1;
		}
		if (!*at)
			return false;
	}
	if (**at != ',' && **at != '=')
		return false;
	*name = (struct bytes){0};
	for (++*at; **at && !strchr(", \t", **at); ++*at) {
		char byte = **at;

		if (byte == '\\') {
			byte = (char)(hex_digit((*at)[2]) * 16 + hex_digit((*at)[3]));
			*at += 3;
		}
		assert(name->length < ROUTE_NAME_MAX);
		name->bytes[name->length++] = byte;
	}
	return true;
}

static bool is_named(const struct bytes *name, enum clienthello_kind kind, const struct bytes *offered)
{
	bool suffix = kind == CLIENTHELLO_SNI && name->bytes[0] == '*';
	size_t length = name->length - suffix;

	if (kind == CLIENTHELLO_ALPN)
		return offered->length == length && memcmp(offered->bytes, name->bytes, length) == 0;
	if (suffix ? offered->length <= length : offered->length != length)
		return false;
	return strncasecmp(offered->bytes + offered->length - length, name->bytes + suffix, length) == 0;
}

/* What a hello offers ahead of a protocol, as browsers do (RFC 8701); not ahead of one that could be GREASE itself. */
static const struct bytes grease = {.length = 2, .bytes = "\x1a\x1a"};

static bool leads_with_grease(const struct bytes *alpn)
{
	return alpn->length != grease.length;
}

/* NULL: the hello has no name of that kind. */
static bool is_met(const char *rule, enum clienthello_kind kind, const struct bytes *offered)
{
	const char *at = NULL;
	struct bytes name = {0};
	bool any = false;

	while (next_name(rule, kind, &at, &name)) {
		any = true;
		if (offered &&
		    (is_named(&name, kind, offered) ||
		     (kind == CLIENTHELLO_ALPN && leads_with_grease(offered) && is_named(&name, kind, &grease))))
			return true;
	}
	return !any;
}

static enum route expected_route(const struct bytes *sni, const struct bytes *alpn)
{
	if (alpn && alpn->length == 10 && memcmp(alpn->bytes, "acme-tls/1", 10) == 0)
		return ROUTE_ACME;
	for (unsigned int i = 0; i < routes.count; i++)
		if (is_met(rules[i], CLIENTHELLO_SNI, sni) && is_met(rules[i], CLIENTHELLO_ALPN, alpn))
			return (enum route)(ROUTE_RULE + i);
	return ROUTE_HTTPS;
}

/* --- hellos --- */

static void add_hello_name(enum clienthello_kind kind, const char *bytes, size_t length)
{
	struct bytes *name = &names[kind][name_count[kind]];

	if (name_count[kind] == HELLO_NAMES || length == 0 || length > ROUTE_NAME_MAX)
		return;
	memcpy(name->bytes, bytes, length);
	name->length = length;
	name_count[kind]++;
}

/* Each name of a rule; for *.NAME, a host that it matches, and the nearest one that it does not. */
static void add_names_of(const char *rule)
{
	for (int kind = 0; kind < CLIENTHELLO_KINDS; kind++) {
		const char *at = NULL;
		struct bytes name = {0};

		while (next_name(rule, (enum clienthello_kind)kind, &at, &name)) {
			bool suffix = kind == CLIENTHELLO_SNI && name.bytes[0] == '*';

			if (suffix)
				name.bytes[0] = 'W';
			add_hello_name((enum clienthello_kind)kind, name.bytes, name.length);
			if (suffix)
				add_hello_name((enum clienthello_kind)kind, name.bytes + 2, name.length - 2);
		}
	}
}

static void check_hello(const struct clienthello_rules *table, const struct bytes *sni, const struct bytes *alpn)
{
	static struct wire message, records;
	static struct hello hello;
	struct hello_open open;

	message.length = records.length = 0;
	open = hello_begin(&message);
	if (sni) {
		char host[ROUTE_NAME_MAX + 1];

		memcpy(host, sni->bytes, sni->length);
		host[sni->length] = '\0';
		if (strlen(host) != sni->length) /* put_sni() takes strings */
			return;
		put_sni(&message, host);
	}
	if (alpn) {
		const struct name list[] = {
			{grease.bytes, (uint8_t)grease.length}, {alpn->bytes, (uint8_t)alpn->length}, {NULL, 0}};

		put_alpn(&message, list + !leads_with_grease(alpn));
	}
	hello_end(&message, open);
	put_records(&records, &message, CLIENTHELLO_RECORD_MAX);
	hello_describe(&hello, records.bytes, records.length, table);
	assert(hello.route == expected_route(sni, alpn));
}

static void check_hellos(void)
{
	static struct clienthello_rules table;

	memset(&table, 0, sizeof(table));
	routes_compile(&routes, &table);
	check_hello(&table, NULL, NULL);
	for (unsigned int i = 0; i < name_count[CLIENTHELLO_SNI]; i++)
		check_hello(&table, &names[CLIENTHELLO_SNI][i], NULL);
	for (unsigned int i = 0; i < name_count[CLIENTHELLO_ALPN]; i++) {
		check_hello(&table, NULL, &names[CLIENTHELLO_ALPN][i]);
		for (unsigned int s = 0; s < name_count[CLIENTHELLO_SNI]; s++)
			check_hello(&table, &names[CLIENTHELLO_SNI][s], &names[CLIENTHELLO_ALPN][i]);
	}
}

/* --- an input --- */

/* Printed rules are accepted again, and printed alike. */
static void check_printed(void)
{
	static char text[PRINTED_MAX + sizeof(" -> backend")], again[PRINTED_MAX];
	static struct routes printed;
	struct sentence why = {0};

	memset(&printed, 0, sizeof(printed));
	for (unsigned int i = 0; i < routes.count; i++) {
		const char *backend;
		size_t length;

		routes_format(&routes, i, text, PRINTED_MAX);
		length = strlen(text);
		snprintf(text + length, sizeof(text) - length, " -> backend");
		assert(routes_add(&printed, text, 0, &backend, &why));
		assert(strcmp(backend, "backend") == 0);
		routes_format(&printed, i, again, sizeof(again));
		assert(strlen(again) == length && strncmp(again, text, length) == 0);
	}
}

static void read_rules(struct input *input)
{
	struct sentence why = {0};
	const char *backend;
	char *line;

	while ((line = input_line(input)) && *line) {
		if (routes_add(&routes, line, 1, &backend, &why)) {
			assert(backend > line && backend < line + strlen(line));
			assert(routes.count <= CLIENTHELLO_RULES_MAX);
			rules[routes.count - 1] = line;
			continue;
		}
		assert(why.text[0]);
		free(line);
		return; /* the remains of a refused rule are never used */
	}
	free(line);
}

static void read_names(struct input *input)
{
	char *line;

	for (unsigned int i = 0; i < routes.count; i++)
		add_names_of(rules[i]);
	for (int kind = 0; (line = input_line(input)); kind = !kind) {
		add_hello_name((enum clienthello_kind)kind, line, strlen(line));
		free(line);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};

	memset(&routes, 0, sizeof(routes));
	memset(name_count, 0, sizeof(name_count));
	read_rules(&input);
	if (routes.count) {
		check_printed();
		read_names(&input);
		check_hellos();
	}
	for (unsigned int i = 0; i < routes.count; i++)
		free(rules[i]);
	return 0;
}
