// SPDX-License-Identifier: BSD-2-Clause
/*
 * The options about single routes, and about what backends are told of the client. Owns nothing; on the thread of
 * options_parse(). See parser.h.
 */
#include "options/parser.h"

#include <stdio.h>
#include <string.h>

bool option_parse_route(struct parser *parser, const char *text)
{
	struct options *options = parser->options;
	enum route route = (enum route)(ROUTE_RULE + options->routes.count);
	/* An error quotes the rule, but a long rule must leave room for the error. */
	int length = strlen(text) < ROUTE_TEXT_MAX ? (int)strlen(text) : ROUTE_TEXT_MAX;
	const char *backend, *cut = text[length] ? "..." : "";
	struct sentence why;

	if (!routes_add(&options->routes, text, parser->line, &backend, &why))
		return sentence_refuse(parser->why, "--route %.*s%s: %s", length, text, cut, why.text);
	if (!endpoint_parse(&options->backends[route], backend, &why))
		return sentence_refuse(parser->why, "--route %.*s%s: %s", length, text, cut, why.text);
	return true;
}

void option_reset_route(struct options *options)
{
	options->routes = (struct routes){0};
	memset(&options->backends[ROUTE_RULE], 0, CLIENTHELLO_RULES_MAX * sizeof(options->backends[0]));
}

bool options_same_routes(const struct options *a, const struct options *b)
{
	if (a->routes.count != b->routes.count ||
	    memcmp(a->routes.rules, b->routes.rules, sizeof(a->routes.rules)) != 0 ||
	    memcmp(a->routes.patterns, b->routes.patterns, sizeof(a->routes.patterns)) != 0)
		return false;
	for (unsigned int i = 0; i < a->routes.count; i++)
		if (!options_same_endpoint(&a->backends[ROUTE_RULE + i], &b->backends[ROUTE_RULE + i]))
			return false;
	return true;
}

bool option_same_route(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	(void)spec;
	return options_same_routes(a, b);
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

/* --- what a backend is told of the client --- */

bool option_parse_proxy_protocol(struct parser *parser, const char *text)
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
			"--proxy-protocol %s: not ROUTE=VERSION; ROUTE is https, acme, route-1 and so on, VERSION is v1 or v2, as in https=v2",
			text);
	if (options->proxy[route] != PROXY_NONE)
		return sentence_refuse(parser->why,
				       "--proxy-protocol %s: route %s already has a version; give one per route", text,
				       route_name(route));
	options->proxy[route] = version[2] == '1' ? PROXY_V1 : PROXY_V2;
	options->proxy_lines[route] = parser->line;
	return true;
}

void option_reset_proxy_protocol(struct options *options)
{
	memset(options->proxy, 0, sizeof(options->proxy));
	memset(options->proxy_lines, 0, sizeof(options->proxy_lines));
}

bool option_parse_proxy_tlv(struct parser *parser, const char *text)
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
				return sentence_refuse(parser->why, "--proxy-tlv %s: %s is given twice; give it once",
						       text, tlvs[i].name);
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

void option_reset_proxy_tlv(struct options *options)
{
	options->proxy_tlv_alpn = options->proxy_tlv_authority = false;
}

bool option_same_proxy_tlv(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	(void)spec;
	return a->proxy_tlv_alpn == b->proxy_tlv_alpn && a->proxy_tlv_authority == b->proxy_tlv_authority;
}

/* A PROXY header is one more way to pass on the client's address. */
bool option_parse_client_address(struct parser *parser, const char *text)
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
	return sentence_refuse(parser->why, "--client-address %s: not one of %s", text, parser->spec->argument);
}

bool option_same_client_address(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	(void)spec;
	return a->client_address == b->client_address && a->client_address_proxy == b->client_address_proxy;
}
