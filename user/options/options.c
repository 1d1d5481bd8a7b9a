// SPDX-License-Identifier: BSD-2-Clause
/*
 * Parses the command line and the configuration file, and prints --help. The options are listed in table.c, the rules
 * between them in across.c. Owns the text of --help. Runs on the main thread at start-up, on a thread of its own at a
 * reload.
 */
#include "options/options.h"

#include <stdio.h>
#include <string.h>

#include "options/across.h"
#include "options/config_file.h"
#include "options/table.h"

/* Checks the rules that need all options. */
static bool check_whole(struct parser *parser, bool partial)
{
	const struct endpoint *backends = parser->options->backends;

	if (partial && (!backends[ROUTE_ACME].count || !backends[ROUTE_HTTPS].count))
		return true;
	for (size_t i = 0; i < option_spec_count; i++)
		if (option_specs[i].required && !parser->given[i])
			return sentence_refuse(parser->why,
					       "--%s is missing; it says %s; for example --acme 10443 --https 8443",
					       option_specs[i].name, option_specs[i].help);
	return options_finish(parser->options, parser->why);
}

/* Parses the option at argv[*at] and its value; moves *at to the last word used. */
static enum options_result parse_one(struct parser *parser, int argc, char **argv, int *at)
{
	const char *word = argv[*at] + strlen("--"), *value = strchr(word, '=');
	size_t length = value ? (size_t)(value - word) : strlen(word);
	const struct option_spec *spec = option_find(word, length);

	if (!spec) {
		sentence_refuse(parser->why, "unknown option --%.*s; --help lists the options", (int)length, word);
		return OPTIONS_USAGE;
	}
	if (value)
		value++;
	if (!spec->argument && value) {
		sentence_refuse(parser->why, "--%s takes no value, but got \"%s\"", spec->name, value);
		return OPTIONS_USAGE;
	}
	if (!spec->parse)
		return strcmp(spec->name, "help") == 0 ? OPTIONS_HELP : OPTIONS_VERSION;
	if (spec->argument && !value) {
		/* No value starts with "--": this is the next option, and the value was forgotten. */
		if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0) {
			sentence_refuse(parser->why, "--%s needs a value; write --%s %s", spec->name, spec->name,
					spec->argument);
			return OPTIONS_USAGE;
		}
		value = argv[++*at];
	}
	return option_apply(parser, spec, value) ? OPTIONS_OK : OPTIONS_USAGE;
}

/* The file is read before the command line, which may name it anywhere. NULL: it names none, or is wrong. */
static const char *find_config(int argc, char **argv)
{
	static const char name[] = "--config";

	for (int at = 1; at < argc && strcmp(argv[at], "--") != 0; at++) {
		if (strncmp(argv[at], "--config=", sizeof(name)) == 0)
			return argv[at] + sizeof(name);
		if (strcmp(argv[at], name) == 0)
			return at + 1 < argc && strncmp(argv[at + 1], "--", 2) != 0 ? argv[at + 1] : NULL;
	}
	return NULL;
}

/* --help and --version do not depend on a file. */
static bool asks_for_text(int argc, char **argv)
{
	for (int at = 1; at < argc && strcmp(argv[at], "--") != 0; at++)
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "--version") == 0)
			return true;
	return false;
}

static bool read_config(struct parser *parser, int argc, char **argv)
{
	const char *path = find_config(argc, argv);

	parser->options->config = path;
	if (path && *path && !config_file_read(parser, path))
		return false;
	parser->line = 0;
	memset(parser->seen, 0, sizeof(parser->seen));
	return true;
}

static enum options_result parse_words(struct parser *parser, int argc, char **argv)
{
	struct options *options = parser->options;
	struct sentence *why = parser->why;

	option_set_defaults(options);
	*why = (struct sentence){0};
	if (!asks_for_text(argc, argv) && !read_config(parser, argc, argv))
		return OPTIONS_USAGE;
	for (int at = 1; at < argc; at++) {
		enum options_result result;

		if (argv[at][0] == '-' && argv[at][1] != '-' && argv[at][1]) {
			sentence_refuse(why, "unknown option %s; options start with \"--\", and --help lists them",
					argv[at]);
			return OPTIONS_USAGE;
		}
		if (strcmp(argv[at], "--") == 0) {
			if (at + 1 >= argc) {
				sentence_refuse(why,
						"no command follows --; write it, as in -- nginx -g 'daemon off;'");
				return OPTIONS_USAGE;
			}
			options->command = argv + at + 1;
			break;
		}
		if (strncmp(argv[at], "--", 2) != 0) {
			sentence_refuse(why,
					"unexpected argument \"%s\"; write an option and its value, as in --https 8443",
					argv[at]);
			return OPTIONS_USAGE;
		}
		result = parse_one(parser, argc, argv, &at);
		if (result != OPTIONS_OK)
			return result;
	}
	return OPTIONS_OK;
}

static enum options_result parse_and_check(struct options *options, int argc, char **argv, bool partial,
					   struct sentence *why)
{
	struct parser parser = {.options = options, .why = why};
	enum options_result result = parse_words(&parser, argc, argv);

	if (result != OPTIONS_OK)
		return result;
	return check_whole(&parser, partial) ? OPTIONS_OK : OPTIONS_USAGE;
}

void options_parse_netns(struct options *options, int argc, char **argv)
{
	struct sentence why;
	struct parser parser = {.options = options, .why = &why, .only = "netns"};

	if (asks_for_text(argc, argv))
		option_set_defaults(options);
	else
		parse_words(&parser, argc, argv);
}

enum options_result options_parse(struct options *options, int argc, char **argv, struct sentence *why)
{
	return parse_and_check(options, argc, argv, false, why);
}

enum options_result options_parse_routes(struct options *options, int argc, char **argv, struct sentence *why)
{
	return parse_and_check(options, argc, argv, true, why);
}

const char *options_help(void)
{
	static char text[6144];
	size_t length;

	length = (size_t)snprintf(text, sizeof(text),
				  "Usage: alpnbpf attach --acme BACKEND --https BACKEND [OPTION ...] [-- COMMAND ...]\n"
				  "       alpnbpf check  --acme BACKEND --https BACKEND [OPTION ...]\n"
				  "       alpnbpf attach|check --config FILE [OPTION ...]\n\n");
	for (size_t i = 0; i < option_spec_count && length < sizeof(text); i++) {
		char usage[64];

		snprintf(usage, sizeof(usage), "--%s%s%s", option_specs[i].name, option_specs[i].argument ? " " : "",
			 option_specs[i].argument ? option_specs[i].argument : "");
		length += (size_t)snprintf(text + length, sizeof(text) - length, "  %-34s %s\n", usage,
					   option_specs[i].help);
	}
	if (length < sizeof(text))
		snprintf(
			text + length, sizeof(text) - length,
			"\nDefaults are in parentheses.\n"
			"BACKEND: PORT (on 127.0.0.1, then ::1), HOST:PORT, [V6]:PORT or unix:PATH.\n"
			"RULE: sni=HOST,... (*.HOST: its subdomains), alpn=NAME,... or both, which must both match, then -> BACKEND.\n"
			"TIME: a whole number and ms, s, m or h; seconds without a unit. SIZE: bytes, or a number and K or M.\n"
			"COMMAND: the web server, started once the ports are open. When it or alpnbpf ends, so does the other.\n");
	return text;
}
