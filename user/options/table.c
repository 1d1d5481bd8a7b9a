// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table of options and the parsers of their values. Only start-up uses it; it prints nothing, and touches the
 * system only to resolve names.
 */
#include "options/table.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DURATION_MOST_MS (576ULL * 3600 * 1000) /* 24 days: what an int holds, so that any timer can */
#define BUFFER_LEAST     (64ULL << 10)
#define BUFFER_MOST      (64ULL << 20)
#define CONNECTIONS_MOST 1000000
#define WORKERS_MOST     256

/* Choices are stored through an unsigned int: every enum in struct options must be one. */
static_assert(sizeof(enum dataplane_choice) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum acme_fallback) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum arm_choice) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum inspect_choice) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum log_level) == sizeof(unsigned int), "enum size");
static_assert(sizeof(enum log_format) == sizeof(unsigned int), "enum size");

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
		return sentence_refuse(parser->why, "--%s %s: is not a number from %llu to %llu%s", spec->name, text,
				       spec->least, spec->most, spec->zero ? ", or 0 for no limit" : "");
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
		return sentence_refuse(
			parser->why,
			"--%s %s: is not a duration; write a whole number and ms, s, m or h, such as 500ms or 10s",
			spec->name, text);
	if (value > DURATION_MOST_MS / factor)
		return sentence_refuse(parser->why, "--%s %s: is too long; at most 576h (24 days)", spec->name, text);
	if (value == 0 && !spec->zero)
		return sentence_refuse(parser->why, "--%s %s: must be at least 1ms", spec->name, text);
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
		return sentence_refuse(
			parser->why,
			"--%s %s: is not a size; write a whole number of bytes, or with K or M, such as 1M", spec->name,
			text);
	if (value > spec->most >> shift || value << shift < spec->least)
		return sentence_refuse(parser->why, "--%s %s: is out of range; from %lluK to %lluM", spec->name, text,
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
	return sentence_refuse(parser->why, "--%s %s: is not one of %s", spec->name, text, spec->argument);
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
	struct sentence why;

	if (endpoint_parse(&parser->options->backends[spec->choice], text, &why))
		return true;
	return sentence_refuse(parser->why, "--%s %s: %s", spec->name, text, why.text);
}

static bool parse_listen(struct parser *parser, const char *text)
{
	struct options *options = parser->options;
	char name[ADDRESS_TEXT_MAX];
	struct sentence why;
	struct address addresses[2];
	unsigned int count;

	if (!listen_parse(addresses, &count, text, &why))
		return sentence_refuse(parser->why, "--listen %s: %s", text, why.text);
	for (unsigned int i = 0; i < count; i++) {
		for (unsigned int known = 0; known < options->listener_count; known++)
			if (address_equal(&options->listeners[known], &addresses[i]))
				return sentence_refuse(parser->why,
						       "--listen %s: %s is listened on already; name each address once",
						       text, address_format(&addresses[i], name, sizeof(name)));
		if (options->listener_count == LISTENERS_MAX)
			return sentence_refuse(parser->why, "--listen %s: is one too many; at most %d addresses", text,
					       LISTENERS_MAX);
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
	return sentence_refuse(parser->why, "--client-address %s: is not one of %s", text, parser->spec->argument);
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
				return sentence_refuse(parser->why,
						       "--proxy-tlv %s: %s is asked for twice; once is enough", text,
						       tlvs[i].name);
			*tlvs[i].wanted = known = true;
		}
		if (!known)
			return sentence_refuse(
				parser->why,
				"--proxy-tlv %s: \"%.*s\" is not a TLV; write alpn, authority or alpn,authority", text,
				(int)length, item);
		item += length;
		if (!*item)
			return true;
	}
}

static void reset_listeners(struct options *options)
{
	options->listener_count = 0;
}

static void reset_tlvs(struct options *options)
{
	options->proxy_tlv_alpn = options->proxy_tlv_authority = false;
}

static bool parse_name(struct parser *parser, const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t length = strlen(text);

	if (length >= sizeof(parser->options->name) || strspn(text, allowed) != length || *text == '.')
		return sentence_refuse(
			parser->why, "--name %s: is not a name; write up to %zu letters, digits, \"-\", \"_\" or \".\"",
			text, sizeof(parser->options->name) - 1);
	memcpy(parser->options->name, text, length + 1);
	return true;
}

static bool parse_group(struct parser *parser, const char *text)
{
	if (strlen(text) >= sizeof(parser->options->control_group))
		return sentence_refuse(parser->why, "--control-group %s: is too long for the name of a group", text);
	snprintf(parser->options->control_group, sizeof(parser->options->control_group), "%s", text);
	return true;
}

static bool parse_metrics(struct parser *parser, const char *text)
{
	struct options *options = parser->options;
	bool here = strspn(text, "0123456789") == strlen(text) || strncmp(text, "unix:", 5) == 0;
	struct address addresses[2];
	struct endpoint endpoint;
	unsigned int count = 1;
	struct sentence why;

	if (!(here ? endpoint_parse(&endpoint, text, &why) : listen_parse(addresses, &count, text, &why)))
		return sentence_refuse(parser->why, "--metrics %s: %s", text, why.text);
	if (count > 1)
		return sentence_refuse(parser->why,
				       "--metrics %s: the address is missing; write %s for 127.0.0.1, or ADDR%s", text,
				       text + 1, text);
	options->metrics = true;
	options->metrics_address = here ? endpoint.addresses[0] : addresses[0];
	return true;
}

/* It has been read by now: options_parse(). */
static bool parse_config(struct parser *parser, const char *text)
{
	(void)parser;
	(void)text;
	return true;
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
static const struct choice inspect_choices[] = {
	{"auto", INSPECT_AUTO},
	{"watch", INSPECT_WATCH},
	{"steer", INSPECT_STEER},
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

const struct option_spec option_specs[] = {
	{"acme", "BACKEND", parse_backend, "where acme-tls/1 validations go: the ACME client's port",
	 .choice = ROUTE_ACME, .required = true},
	{"https", "BACKEND", parse_backend, "where everything else goes: the web server's port", .choice = ROUTE_HTTPS,
	 .required = true},
	{"listen", "ADDR:PORT", parse_listen, "an address to listen on, repeatable (0.0.0.0:443 and [::]:443)",
	 .repeatable = true, .reset = reset_listeners},
	{"route", "RULE", options_parse_route,
	 "a backend for other ALPN or SNI names; repeatable, the first met counts", .repeatable = true,
	 .reset = options_reset_routes},
	{"proxy-protocol", "ROUTE=v1|v2", options_parse_proxy_protocol,
	 "send ROUTE (https, acme, route-1 ...) a PROXY header; once a route", .repeatable = true,
	 .reset = options_reset_proxy},
	{"proxy-tlv", "alpn|authority", parse_proxy_tlv, "put the ALPN or the SNI name into v2 headers; repeatable",
	 .repeatable = true, .reset = reset_tlvs},
	{.name = "client-address",
	 .argument = "none|peername|transparent|proxy-v1|proxy-v2",
	 .parse = parse_client_address,
	 .help = "how the web server learns it (peername in place and with a bypass, else none)"},
	{"arm", "auto|always", parse_choice, "look into connections while an ACME client listens, or always (auto)",
	 FIELD(arm), .choices = arm_choices},
	{"inspect", "auto|watch|steer", parse_choice,
	 "while armed: read hellos as they pass, or take every connection (watch where possible)", FIELD(inspect),
	 .choices = inspect_choices},
	{.name = "no-bypass", .parse = parse_no_bypass, .help = "proxy all connections, armed or not"},
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
	{.name = "metrics",
	 .argument = "[ADDR:]PORT|unix:PATH",
	 .parse = parse_metrics,
	 .help = "serve Prometheus metrics over HTTP there"},
	{.name = "name",
	 .argument = "NAME",
	 .parse = parse_name,
	 .help = "of this instance's control socket, /run/alpnbpf/NAME.sock (the port)"},
	{.name = "control-group",
	 .argument = "GROUP",
	 .parse = parse_group,
	 .help = "its members may use the control socket, beside root"},
	{.name = "config",
	 .argument = "FILE",
	 .parse = parse_config,
	 .help = "options from a file, as `name = value`; those of the command line come first",
	 .not_in_file = true},
	{.name = "help", .help = "this text", .not_in_file = true},
	{.name = "version", .help = "the version", .not_in_file = true},
};

const size_t option_spec_count = sizeof(option_specs) / sizeof(option_specs[0]);
static_assert(sizeof(option_specs) / sizeof(option_specs[0]) <= OPTIONS_MAX, "parser.seen is too small");

const struct option_spec *option_find(const char *name, size_t length)
{
	for (size_t i = 0; i < option_spec_count; i++)
		if (strncmp(option_specs[i].name, name, length) == 0 && option_specs[i].name[length] == '\0')
			return &option_specs[i];
	return NULL;
}

bool option_apply(struct parser *parser, const struct option_spec *spec, const char *value)
{
	size_t index = (size_t)(spec - option_specs);

	parser->spec = spec;
	if (value && !*value)
		return sentence_refuse(parser->why, "--%s: its value is empty; write --%s %s", spec->name, spec->name,
				       spec->argument);
	if (parser->seen[index] && !spec->repeatable)
		return sentence_refuse(parser->why, "--%s%s%s: was given before; give it once", spec->name,
				       value ? " " : "", value ? value : "");
	/* What the command line says replaces what the file says. */
	if (parser->given[index] && !parser->seen[index] && spec->reset)
		spec->reset(parser->options);
	parser->seen[index] = parser->given[index] = true;
	return spec->parse(parser, value);
}
