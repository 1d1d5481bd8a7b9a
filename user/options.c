/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of attach and check. Owns the table of options, from which parsing and --help both come, and nothing
 * else; the rules between options are in options_rules.c. Only start-up uses it; it prints nothing, and touches the
 * system only to resolve names.
 */
#include "options.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DURATION_MOST_MS (576ULL * 3600 * 1000) /* 24 days: what an int holds, so that any timer can */
#define BUFFER_LEAST     (64ULL << 10)
#define BUFFER_MOST      (64ULL << 20)
#define CONNECTIONS_MOST 1000000
#define WORKERS_MOST     256

enum { OPTIONS_MAX = 32 };

struct option_spec;

struct parser {
	struct options *options;
	const struct option_spec *spec; /* the option at hand */
	char *error;
	size_t error_size;
	bool seen[OPTIONS_MAX]; /* by index in the table */
};

struct choice {
	const char *name; /* NULL ends a list */
	unsigned int value;
};

struct option_spec {
	const char *name;
	const char *argument; /* NULL: takes none */
	bool (*parse)(struct parser *parser, const char *value);
	const char *help;
	size_t offset;                  /* of the field it sets */
	unsigned long long least, most; /* of numbers, durations (ms) and sizes (bytes) */
	bool zero;                      /* 0 is allowed below least, and means "off" */
	const struct choice *choices;
	unsigned int choice; /* which backend, or what a flag stores */
	bool required, repeatable;
};

/* Choices are stored through an unsigned int: every enum in struct options must be one. */
static_assert(sizeof(enum dataplane_choice) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum acme_fallback) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum arm_choice) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum log_level) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum log_format) == sizeof(unsigned int), "enum size");

static bool fail(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct parser *parser, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(parser->error, parser->error_size, format, arguments);
	va_end(arguments);
	return false;
}

static unsigned int *field_uint(const struct parser *parser)
{
	return (unsigned int *)((char *)parser->options + parser->spec->offset);
}

/* The digits text starts with. NULL when there are none, or more than any option could mean. */
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

static bool parse_number(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;
	unsigned long long value;
	const char *end = scan_digits(&value, text);

	if (!end || *end || value > spec->most || (value < spec->least && !(value == 0 && spec->zero)))
		return fail(parser, "--%s %s: is not a number from %llu to %llu%s", spec->name, text, spec->least,
			    spec->most, spec->zero ? ", or 0 for no limit" : "");
	*field_uint(parser) = (unsigned int)value;
	return true;
}

static bool parse_duration(struct parser *parser, const char *text)
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
		return fail(parser,
			    "--%s %s: is not a duration; write a whole number and ms, s, m or h, such as 500ms or 10s",
			    spec->name, text);
	if (value > DURATION_MOST_MS / factor)
		return fail(parser, "--%s %s: is too long; at most 576h (24 days)", spec->name, text);
	if (value == 0 && !spec->zero)
		return fail(parser, "--%s %s: must be at least 1ms", spec->name, text);
	*field_uint(parser) = (unsigned int)(value * factor);
	return true;
}

static bool parse_size(struct parser *parser, const char *text)
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
		return fail(parser, "--%s %s: is not a size; write a whole number of bytes, or with K or M, such as 1M",
			    spec->name, text);
	if (value > spec->most >> shift || value << shift < spec->least)
		return fail(parser, "--%s %s: is out of range; from %lluK to %lluM", spec->name, text,
			    spec->least >> 10, spec->most >> 20);
	*field_uint(parser) = (unsigned int)(value << shift);
	return true;
}

static bool parse_choice(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;

	for (const struct choice *choice = spec->choices; choice->name; choice++) {
		if (strcmp(choice->name, text) == 0) {
			*field_uint(parser) = choice->value;
			return true;
		}
	}
	/* The table's argument names the choices as auto|sockmap|user. */
	return fail(parser, "--%s %s: is not one of %s", spec->name, text, spec->argument);
}

static bool parse_no_defer_accept(struct parser *parser, const char *text)
{
	(void)text;
	parser->options->defer_accept = false;
	return true;
}

static bool parse_backend(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;
	char reason[512];

	if (endpoint_parse(&parser->options->backends[spec->choice], text, reason, sizeof(reason)) == 0)
		return true;
	return fail(parser, "--%s %s: %s", spec->name, text, reason);
}

static bool parse_listen(struct parser *parser, const char *text)
{
	struct options *options = parser->options;
	char reason[512], name[ADDRESS_TEXT_MAX];
	struct address addresses[2];
	unsigned int count;

	if (listen_parse(addresses, &count, text, reason, sizeof(reason)))
		return fail(parser, "--listen %s: %s", text, reason);
	for (unsigned int i = 0; i < count; i++) {
		for (unsigned int known = 0; known < options->listener_count; known++)
			if (address_equal(&options->listeners[known], &addresses[i]))
				return fail(parser, "--listen %s: %s is listened on already; name each address once",
					    text, address_format(&addresses[i], name, sizeof(name)));
		if (options->listener_count == LISTENERS_MAX)
			return fail(parser, "--listen %s: is one too many; at most %d addresses", text, LISTENERS_MAX);
		options->listener_implied[options->listener_count] = count > 1;
		options->listeners[options->listener_count++] = addresses[i];
	}
	return true;
}

static bool parse_no_bypass(struct parser *parser, const char *text)
{
	(void)text;
	parser->options->bypass = false;
	return true;
}

/* The PROXY header is a way to tell the client's address as the others are. */
static bool parse_client_address(struct parser *parser, const char *text)
{
	static const struct {
		const char *name;
		enum client_address way;
		enum proxy_version proxy;
	} ways[] = {{"none", CLIENT_ADDRESS_NONE, PROXY_NONE},
		    {"peername", CLIENT_ADDRESS_PEERNAME, PROXY_NONE},
		    {"transparent", CLIENT_ADDRESS_TRANSPARENT, PROXY_NONE},
		    {"proxy-v1", CLIENT_ADDRESS_NONE, PROXY_V1},
		    {"proxy-v2", CLIENT_ADDRESS_NONE, PROXY_V2}};
	struct options *options = parser->options;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(ways[i].name, text) != 0)
			continue;
		options->client_address = ways[i].way;
		options->client_address_proxy = ways[i].proxy;
		return true;
	}
	return fail(parser, "--client-address %s: is not one of %s", text, parser->spec->argument);
}

static const char *const route_names[ROUTES] = {[ROUTE_HTTPS] = "https", [ROUTE_ACME] = "acme"};

static bool parse_proxy_protocol(struct parser *parser, const char *text)
{
	const char *version = strchr(text, '=');
	unsigned int route = ROUTES;

	for (unsigned int i = 0; version && i < ROUTES; i++)
		if (route_names[i] && strncmp(text, route_names[i], (size_t)(version - text)) == 0 &&
		    route_names[i][version - text] == '\0')
			route = i;
	if (route == ROUTES || (strcmp(version, "=v1") != 0 && strcmp(version, "=v2") != 0))
		return fail(
			parser,
			"--proxy-protocol %s: is not ROUTE=VERSION; write https or acme, then =v1 or =v2, such as https=v2",
			text);
	if (parser->options->proxy[route] != PROXY_NONE)
		return fail(parser, "--proxy-protocol %s: the route %s has a version already; give it once a route",
			    text, route_names[route]);
	parser->options->proxy[route] = version[2] == '1' ? PROXY_V1 : PROXY_V2;
	return true;
}

static bool parse_proxy_tlv(struct parser *parser, const char *text)
{
	struct {
		const char *name;
		bool *wanted;
	} tlvs[] = {{"alpn", &parser->options->proxy_tlv_alpn}, {"authority", &parser->options->proxy_tlv_authority}};

	for (const char *item = text;; item++) {
		size_t length = strcspn(item, ",");
		bool known = false;

		for (size_t i = 0; i < sizeof(tlvs) / sizeof(tlvs[0]); i++) {
			if (strlen(tlvs[i].name) != length || strncmp(tlvs[i].name, item, length) != 0)
				continue;
			if (*tlvs[i].wanted)
				return fail(parser, "--proxy-tlv %s: %s is asked for twice; once is enough", text,
					    tlvs[i].name);
			*tlvs[i].wanted = known = true;
		}
		if (!known)
			return fail(parser,
				    "--proxy-tlv %s: \"%.*s\" is not a TLV; write alpn, authority or alpn,authority",
				    text, (int)length, item);
		item += length;
		if (!*item)
			return true;
	}
}

static const struct choice fallback_choices[] = {
	{"https", ACME_FALLBACK_HTTPS},
	{"close", ACME_FALLBACK_CLOSE},
	{NULL, 0},
};
static const struct choice dataplane_choices[] = {
	{"auto", DATAPLANE_AUTO},
	{"sockmap", DATAPLANE_SOCKMAP},
	{"user", DATAPLANE_USER},
	{NULL, 0},
};
static const struct choice arm_choices[] = {
	{"auto", ARM_AUTO},
	{"always", ARM_ALWAYS},
	{NULL, 0},
};
static const struct choice level_choices[] = {
	{"error", LOG_LEVEL_ERROR},
	{"warn", LOG_LEVEL_WARN},
	{"info", LOG_LEVEL_INFO},
	{"debug", LOG_LEVEL_DEBUG},
	{NULL, 0},
};
static const struct choice format_choices[] = {
	{"text", LOG_FORMAT_TEXT},
	{"json", LOG_FORMAT_JSON},
	{NULL, 0},
};

#define FIELD(name) .offset = offsetof(struct options, name)

static const struct option_spec specs[] = {
	{"acme", "BACKEND", parse_backend, "where acme-tls/1 validations go: the ACME client's port",
	 .choice = ROUTE_ACME, .required = true},
	{"https", "BACKEND", parse_backend, "where everything else goes: the web server's port", .choice = ROUTE_HTTPS,
	 .required = true},
	{"listen", "ADDR:PORT", parse_listen, "an address to listen on, repeatable (0.0.0.0:443 and [::]:443)",
	 .repeatable = true},
	{"proxy-protocol", "ROUTE=v1|v2", parse_proxy_protocol,
	 "send ROUTE (https or acme) a PROXY header; once a route", .repeatable = true},
	{"proxy-tlv", "alpn|authority", parse_proxy_tlv, "put the ALPN or the SNI name into v2 headers; repeatable",
	 .repeatable = true},
	{.name = "client-address",
	 .argument = "none|peername|transparent|proxy-v1|proxy-v2",
	 .parse = parse_client_address,
	 .help = "how the web server learns it (peername where connections are steered, else none)"},
	{"arm", "auto|always", parse_choice, "look into connections while an ACME client listens, or always (auto)",
	 FIELD(arm), .choices = arm_choices},
	{.name = "no-bypass",
	 .parse = parse_no_bypass,
	 .help = "proxy all connections, also while no ACME client listens"},
	{"hello-timeout", "TIME", parse_duration, "for a whole ClientHello (5s)", FIELD(hello_timeout_ms)},
	{"connect-timeout", "TIME", parse_duration, "for a backend to accept (5s)", FIELD(connect_timeout_ms)},
	{"idle-timeout", "TIME", parse_duration, "for a session without a byte, 0: none (10m)", FIELD(idle_timeout_ms),
	 .zero = true},
	{"acme-timeout", "TIME", parse_duration, "for a whole ACME session (10s)", FIELD(acme_timeout_ms)},
	{"drain-timeout", "TIME", parse_duration, "for sessions to end after SIGTERM, 0: at once (30s)",
	 FIELD(drain_timeout_ms), .zero = true},
	{"acme-fallback", "https|close", parse_choice, "who gets a validation the ACME client refuses (https)",
	 FIELD(acme_fallback), .choices = fallback_choices},
	{"max-connections", "N", parse_number, "sessions at once (what the descriptor limit allows)",
	 FIELD(max_connections), .least = 1, .most = CONNECTIONS_MOST},
	{"max-per-source", "N", parse_number, "sessions of one IPv4 address or IPv6 /64, 0: no limit (0)",
	 FIELD(max_per_source), .least = 1, .most = CONNECTIONS_MOST, .zero = true},
	{"workers", "N", parse_number, "threads (one a CPU)", FIELD(workers), .least = 1, .most = WORKERS_MOST},
	{"buffer", "SIZE", parse_size, "what one flow may hold for a peer that does not read (1M)", FIELD(buffer_bytes),
	 .least = BUFFER_LEAST, .most = BUFFER_MOST},
	{.name = "no-defer-accept",
	 .parse = parse_no_defer_accept,
	 .help = "accept connections before their first byte"},
	{"dataplane", "auto|sockmap|user", parse_choice, "what moves the bytes: the kernel or this process (auto)",
	 FIELD(dataplane), .choices = dataplane_choices},
	{"log-level", "error|warn|info|debug", parse_choice, "the least important lines to log (info)",
	 FIELD(log_level), .choices = level_choices},
	{"log-format", "text|json", parse_choice, "how lines look on stderr (text)", FIELD(log_format),
	 .choices = format_choices},
	{.name = "help", .help = "this text"},
	{.name = "version", .help = "the version"},
};

#define SPECS (sizeof(specs) / sizeof(specs[0]))
static_assert(SPECS <= OPTIONS_MAX, "parser.seen is too small");

static void set_defaults(struct options *options)
{
	memset(options, 0, sizeof(*options));
	options->hello_timeout_ms = 5000;
	options->connect_timeout_ms = 5000;
	options->idle_timeout_ms = 10 * 60 * 1000;
	options->acme_timeout_ms = 10000;
	options->drain_timeout_ms = 30000;
	options->buffer_bytes = 1 << 20;
	options->defer_accept = true;
	options->bypass = true;
	options->log_level = LOG_LEVEL_INFO;
}

/* Whole names only: an abbreviation that works today is ambiguous once an option is added. */
static const struct option_spec *find_spec(const char *name, size_t length)
{
	for (size_t i = 0; i < SPECS; i++)
		if (strncmp(specs[i].name, name, length) == 0 && specs[i].name[length] == '\0')
			return &specs[i];
	return NULL;
}

/* What only the whole command line can tell. */
static bool finish(struct parser *parser)
{
	for (size_t i = 0; i < SPECS; i++)
		if (specs[i].required && !parser->seen[i])
			return fail(parser, "--%s: is missing; it names %s, as in --acme 10443 --https 8443",
				    specs[i].name, specs[i].help);
	return options_finish(parser->options, parser->error, parser->error_size);
}

/* One option at argv[*at], and its value; moves *at to the last word it took. */
static enum options_result parse_one(struct parser *parser, int argc, char **argv, int *at)
{
	const char *word = argv[*at] + strlen("--"), *value = strchr(word, '=');
	size_t length = value ? (size_t)(value - word) : strlen(word);
	const struct option_spec *spec = find_spec(word, length);

	if (!spec) {
		fail(parser, "--%.*s: is not an option; --help lists them", (int)length, word);
		return OPTIONS_USAGE;
	}
	if (value)
		value++;
	if (!spec->argument && value) {
		fail(parser, "--%s: takes no value, not \"%s\"", spec->name, value);
		return OPTIONS_USAGE;
	}
	if (!spec->parse)
		return strcmp(spec->name, "help") == 0 ? OPTIONS_HELP : OPTIONS_VERSION;
	if (spec->argument && !value) {
		/* No value starts with "--": the next option follows where one was forgotten. */
		if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0) {
			fail(parser, "--%s: its value is missing; write --%s %s", spec->name, spec->name,
			     spec->argument);
			return OPTIONS_USAGE;
		}
		value = argv[++*at];
	}
	if (value && !*value) {
		fail(parser, "--%s: its value is empty; write --%s %s", spec->name, spec->name, spec->argument);
		return OPTIONS_USAGE;
	}
	if (parser->seen[spec - specs] && !spec->repeatable) {
		fail(parser, "--%s%s%s: was given before; give it once", spec->name, value ? " " : "",
		     value ? value : "");
		return OPTIONS_USAGE;
	}
	parser->seen[spec - specs] = true;
	parser->spec = spec;
	return spec->parse(parser, value) ? OPTIONS_OK : OPTIONS_USAGE;
}

enum options_result options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size)
{
	struct parser parser = {.options = options, .error = error, .error_size = error_size};

	set_defaults(options);
	if (error_size)
		*error = '\0';
	for (int at = 1; at < argc; at++) {
		enum options_result result;

		if (argv[at][0] == '-' && argv[at][1] != '-' && argv[at][1]) {
			fail(&parser, "%s: is not an option; options start with \"--\", and --help lists them",
			     argv[at]);
			return OPTIONS_USAGE;
		}
		if (strncmp(argv[at], "--", 2) != 0 || !argv[at][2]) {
			fail(&parser, "\"%s\" is out of place: values follow their option, as in --https 8443",
			     argv[at]);
			return OPTIONS_USAGE;
		}
		result = parse_one(&parser, argc, argv, &at);
		if (result != OPTIONS_OK)
			return result;
	}
	return finish(&parser) ? OPTIONS_OK : OPTIONS_USAGE;
}

const char *options_help(void)
{
	static char text[4096];
	size_t length;

	length = (size_t)snprintf(text, sizeof(text),
				  "Usage: alpnbpf attach --acme BACKEND --https BACKEND [OPTION ...]\n"
				  "       alpnbpf check  --acme BACKEND --https BACKEND [OPTION ...]\n\n");
	for (size_t i = 0; i < SPECS && length < sizeof(text); i++) {
		char usage[64];

		snprintf(usage, sizeof(usage), "--%s%s%s", specs[i].name, specs[i].argument ? " " : "",
			 specs[i].argument ? specs[i].argument : "");
		length += (size_t)snprintf(text + length, sizeof(text) - length, "  %-34s %s\n", usage, specs[i].help);
	}
	if (length < sizeof(text))
		snprintf(
			text + length, sizeof(text) - length,
			"\nBACKEND: PORT (127.0.0.1, then ::1), HOST:PORT, [V6]:PORT or unix:PATH. In (): the default.\n"
			"TIME: a whole number and ms, s, m or h; without a unit, seconds. SIZE: bytes, or with K or M.\n");
	return text;
}
