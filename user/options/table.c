// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table of options. A new option is a row here, a field of struct options, a section of the manual and, if it
 * depends on other options, a rule in across.c. Constant; see table.h.
 */
#include "options/table.h"

#include <assert.h>
#include <string.h>

#define BUFFER_LEAST     (64ULL << 10)
#define BUFFER_MOST      (64ULL << 20)
#define CONNECTIONS_MOST 1000000
#define WORKERS_MOST     256

/* Nothing to do: options_parse() has read the file before. */
static bool parse_config(struct parser *parser, const char *text)
{
	(void)parser;
	(void)text;
	return true;
}

#define SIZE_OF(name) sizeof(((struct options *)0)->name)
#define FIELD(name)   .offset = offsetof(struct options, name), .size = SIZE_OF(name)
/* A field that is stored as an unsigned int, which an enum must be too. */
#define UINT(name)                                                                                                     \
	FIELD(name) + 0 * sizeof(struct {                                                                              \
			      static_assert(SIZE_OF(name) == sizeof(unsigned int), "not an unsigned int");             \
			      int member;                                                                              \
		      })

const struct option_spec option_specs[] = {
	{
		.name = "acme",
		.argument = "BACKEND",
		.help = "where acme-tls/1 validations go: the ACME client's port",
		.parse = option_parse_backend,
		.same = option_same_backend,
		.route = ROUTE_ACME,
		.required = true,
	},
	{
		.name = "https",
		.argument = "BACKEND",
		.help = "where everything else goes: the web server's port",
		.parse = option_parse_backend,
		.same = option_same_backend,
		.route = ROUTE_HTTPS,
		.required = true,
	},
	{
		.name = "acme-user",
		.argument = "USER|any",
		.help = "who may listen at --acme, besides root and alpnbpf's own user",
		FIELD(acme_user),
		.parse = option_parse_owner,
	},
	{
		.name = "https-user",
		.argument = "USER|any",
		.help = "who may listen at --https, besides root (who does first)",
		FIELD(https_user),
		.parse = option_parse_owner,
	},
	{
		.name = "listen",
		.argument = "ADDR:PORT",
		.help = "an address to listen on; repeatable (0.0.0.0:443 and [::]:443)",
		.parse = option_parse_listen,
		.reset = option_reset_listen,
		.same = option_same_listen,
		.repeatable = true,
	},
	{
		.name = "route",
		.argument = "RULE",
		.help = "a backend for other ALPN or SNI names; repeatable, the first match wins",
		.parse = option_parse_route,
		.reset = option_reset_route,
		.same = option_same_route,
		.repeatable = true,
	},
	{
		.name = "proxy-protocol",
		.argument = "ROUTE=v1|v2",
		.help = "send ROUTE (https, acme, route-1 ...) a PROXY header; once per route",
		FIELD(proxy),
		.parse = option_parse_proxy_protocol,
		.reset = option_reset_proxy_protocol,
		.repeatable = true,
	},
	{
		.name = "proxy-tlv",
		.argument = "alpn|authority",
		.help = "add the ALPN or the SNI name to v2 headers; repeatable",
		.parse = option_parse_proxy_tlv,
		.reset = option_reset_proxy_tlv,
		.same = option_same_proxy_tlv,
		.repeatable = true,
	},
	{
		.name = "client-address",
		.argument = "none|peername|transparent|proxy-v1|proxy-v2",
		.help = "how the web server learns it (peername in place and with the bypass, else none)",
		.parse = option_parse_client_address,
		.same = option_same_client_address,
		.fixed = true,
	},
	{
		.name = "arm",
		.argument = "auto|always",
		.help = "inspect ClientHellos while an ACME client listens, or always (auto)",
		UINT(arm),
		.parse = option_parse_choice,
		.fixed = true,
	},
	{
		.name = "inspect",
		.argument = "auto|watch|steer",
		.help = "while armed: read hellos in passing, or proxy all connections (watch if possible)",
		UINT(inspect),
		.parse = option_parse_choice,
		.fixed = true,
	},
	{
		.name = "no-bypass",
		.help = "proxy all connections, armed or not",
		FIELD(bypass),
		.initial = true,
		.parse = option_parse_off,
		.fixed = true,
	},
	{
		.name = "hello-timeout",
		.argument = "TIME",
		.help = "time to receive a whole ClientHello (5s)",
		UINT(hello_timeout_ms),
		.initial = 5000,
		.parse = option_parse_duration,
	},
	{
		.name = "connect-timeout",
		.argument = "TIME",
		.help = "time to connect to a backend (5s)",
		UINT(connect_timeout_ms),
		.initial = 5000,
		.parse = option_parse_duration,
	},
	{
		.name = "idle-timeout",
		.argument = "TIME",
		.help = "time a session may be idle; 0: no limit (10m)",
		UINT(idle_timeout_ms),
		.initial = 10 * 60 * 1000,
		.parse = option_parse_duration,
		.zero = true,
	},
	{
		.name = "acme-timeout",
		.argument = "TIME",
		.help = "time for a whole ACME session (10s)",
		UINT(acme_timeout_ms),
		.initial = 10000,
		.parse = option_parse_duration,
	},
	{
		.name = "drain-timeout",
		.argument = "TIME",
		.help = "time for sessions to end after SIGTERM; 0: none (30s)",
		UINT(drain_timeout_ms),
		.initial = 30000,
		.parse = option_parse_duration,
		.zero = true,
	},
	{
		.name = "acme-fallback",
		.argument = "https|close",
		.help = "where a validation goes if the ACME client refuses it (https)",
		UINT(acme_fallback),
		.parse = option_parse_choice,
	},
	{
		.name = "max-connections",
		.argument = "N",
		.help = "limit of concurrent sessions (what the descriptor limit allows)",
		UINT(max_connections),
		.parse = option_parse_number,
		.least = 1,
		.most = CONNECTIONS_MOST,
	},
	{
		.name = "max-per-source",
		.argument = "N",
		.help = "limit of sessions per IPv4 address or IPv6 /64; 0: no limit (0)",
		UINT(max_per_source),
		.parse = option_parse_number,
		.least = 1,
		.most = CONNECTIONS_MOST,
		.zero = true,
	},
	{
		.name = "workers",
		.argument = "N",
		.help = "number of worker threads (one per CPU)",
		UINT(workers),
		.parse = option_parse_number,
		.least = 1,
		.most = WORKERS_MOST,
		.fixed = true,
	},
	{
		.name = "buffer",
		.argument = "SIZE",
		.help = "how much one flow may buffer for a slow peer (1M)",
		UINT(buffer_bytes),
		.initial = 1 << 20,
		.parse = option_parse_size,
		.least = BUFFER_LEAST,
		.most = BUFFER_MOST,
	},
	{
		.name = "no-defer-accept",
		.help = "accept connections before their first byte arrives",
		FIELD(defer_accept),
		.initial = true,
		.parse = option_parse_off,
	},
	{
		.name = "dataplane",
		.argument = "auto|sockmap|user",
		.help = "what forwards the bytes: the kernel or this process (auto)",
		UINT(dataplane),
		.parse = option_parse_choice,
		.fixed = true,
	},
	{
		.name = "log-level",
		.argument = "error|warn|info|debug",
		.help = "the least severe level to log (info)",
		UINT(log_level),
		.initial = LOG_LEVEL_INFO,
		.parse = option_parse_choice,
	},
	{
		.name = "log-format",
		.argument = "text|json",
		.help = "format of the log on stderr (text)",
		UINT(log_format),
		.parse = option_parse_choice,
	},
	{
		.name = "netns",
		.argument = "PID|PATH|NAME",
		.help = "attach in another network namespace, as a container's",
		FIELD(netns),
		.parse = option_parse_account,
		.fixed = true,
	},
	{
		.name = "metrics",
		.argument = "[ADDR:]PORT|unix:PATH",
		.help = "serve Prometheus metrics over HTTP at this address",
		.parse = option_parse_metrics,
		.same = option_same_metrics,
		.fixed = true,
	},
	{
		.name = "name",
		.argument = "NAME",
		.help = "name of the control socket, /run/alpnbpf/NAME.sock (the port)",
		FIELD(name),
		.parse = option_parse_name,
		.fixed = true,
	},
	{
		.name = "user",
		.argument = "USER",
		.help = "started by root: the user to run as once set up (alpnbpf)",
		FIELD(user),
		.parse = option_parse_account,
		.fixed = true,
	},
	{
		.name = "control-group",
		.argument = "GROUP",
		.help = "a group whose members may use the control socket, besides root",
		FIELD(control_group),
		.parse = option_parse_account,
		.fixed = true,
	},
	{
		.name = "config",
		.argument = "FILE",
		.help = "read options from a file, as `name = value`; the command line overrides it",
		.parse = parse_config,
		.not_in_file = true,
	},
	{
		.name = "help",
		.help = "show this text",
		.not_in_file = true,
	},
	{
		.name = "version",
		.help = "show the version",
		.not_in_file = true,
	},
};

const size_t option_spec_count = sizeof(option_specs) / sizeof(option_specs[0]);
static_assert(sizeof(option_specs) / sizeof(option_specs[0]) <= OPTIONS_MAX, "parser.seen is too small");

void option_set_defaults(struct options *options)
{
	memset(options, 0, sizeof(*options));
	for (size_t i = 0; i < option_spec_count; i++) {
		const struct option_spec *spec = &option_specs[i];

		if (spec->size == sizeof(bool))
			*((bool *)options + spec->offset) = spec->initial;
		else if (spec->size == sizeof(unsigned int))
			memcpy((char *)options + spec->offset, &spec->initial, sizeof(spec->initial));
	}
}

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

	if (parser->only && strcmp(parser->only, spec->name) != 0)
		return true;

	parser->spec = spec;
	if (value && !*value)
		return sentence_refuse(parser->why, "--%s has an empty value; write --%s %s", spec->name, spec->name,
				       spec->argument);
	if (parser->seen[index] && !spec->repeatable)
		return sentence_refuse(parser->why, "--%s%s%s: already given; give it once", spec->name,
				       value ? " " : "", value ? value : "");
	/* The command line replaces what the file gave. */
	if (parser->given[index] && !parser->seen[index] && spec->reset)
		spec->reset(parser->options);
	parser->seen[index] = parser->given[index] = true;
	return spec->parse(parser, value);
}

bool option_is_same(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	if (spec->same)
		return spec->same(spec, a, b);
	return memcmp((const char *)a + spec->offset, (const char *)b + spec->offset, spec->size) == 0;
}
