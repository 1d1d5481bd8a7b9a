// SPDX-License-Identifier: BSD-2-Clause
/* The options that are about single routes: --route and --proxy-protocol. Only start-up uses it; it prints nothing. */
#include "options/table.h"

#include <stdio.h>
#include <string.h>

bool options_parse_route(struct parser *parser, const char *text)
{
	struct options *options = parser->options;
	enum route route = (enum route)(ROUTE_RULE + options->routes.count);
	/* A sentence names the rule, but a long one must not crowd out what is wrong with it. */
	int length = strlen(text) < ROUTE_TEXT_MAX ? (int)strlen(text) : ROUTE_TEXT_MAX;
	const char *backend, *cut = text[length] ? "..." : "";
	struct sentence why;

	if (!routes_add(&options->routes, text, parser->line, &backend, &why))
		return sentence_refuse(parser->why, "--route %.*s%s: %s", length, text, cut, why.text);
	if (!endpoint_parse(&options->backends[route], backend, &why))
		return sentence_refuse(parser->why, "--route %.*s%s: %s", length, text, cut, why.text);
	return true;
}

void options_reset_routes(struct options *options)
{
	options->routes = (struct routes){0};
	memset(&options->backends[ROUTE_RULE], 0, CLIENTHELLO_RULES_MAX * sizeof(options->backends[0]));
}

bool options_parse_proxy_protocol(struct parser *parser, const char *text)
{
	struct options *options = parser->options;
	const char *version = strchr(text, '=');
	enum route route = ROUTES;

	for (unsigned int i = ROUTE_HTTPS; version && i < ROUTES; i++) {
		const char *name = route_name((enum route)i);

		if (strlen(name) == (size_t)(version - text) && strncmp(text, name, strlen(name)) == 0)
			route = (enum route)i;
	}
	if (route == ROUTES || (strcmp(version, "=v1") != 0 && strcmp(version, "=v2") != 0))
		return sentence_refuse(
			parser->why,
			"--proxy-protocol %s: is not ROUTE=VERSION; write https, acme or route-1 and so on, then =v1 or =v2, such as https=v2",
			text);
	if (options->proxy[route] != PROXY_NONE)
		return sentence_refuse(parser->why,
				       "--proxy-protocol %s: the route %s has a version already; give it once a route",
				       text, route_name(route));
	options->proxy[route] = version[2] == '1' ? PROXY_V1 : PROXY_V2;
	options->proxy_lines[route] = parser->line;
	return true;
}

void options_reset_proxy(struct options *options)
{
	memset(options->proxy, 0, sizeof(options->proxy));
	memset(options->proxy_lines, 0, sizeof(options->proxy_lines));
}

const char *options_list_rules(const struct options *options, char *out, size_t size)
{
	size_t used = 0, room = sizeof(" and 32 more");

	*out = '\0';
	for (unsigned int i = 0; i < options->routes.count; i++) {
		const struct endpoint *backend = &options->backends[ROUTE_RULE + i];
		size_t length = strlen(", route-32 -> ") + strlen(backend->text);

		if (used + length + room > size) {
			snprintf(out + used, size - used, " and %u more", options->routes.count - i);
			break;
		}
		used += (size_t)snprintf(out + used, size - used, ", %s -> %s", route_name(ROUTE_RULE + i),
					 backend->text);
	}
	return out;
}
