// SPDX-License-Identifier: BSD-2-Clause
/*
 * The rules between options: see across.h. Decides which listening addresses are served in place; asks the system for
 * the machine's addresses. Owns nothing.
 */
#include "options/across.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "system/activation.h"

/* Does a connection to `target` arrive at the listener `at`? */
static bool leads_to(const struct address *target, const struct address *at)
{
	struct address plain = address_unmapped(target);

	if (plain.sa.sa_family != at->sa.sa_family || address_port(&plain) != address_port(at))
		return false;
	if (address_is_wildcard(at))
		return address_is_local(&plain);
	return address_equal(&plain, at);
}

/* A port alone means the web server on that port, at any address; with a host, the address must match too. */
static bool leads_back(const struct endpoint *backend, const struct address *at)
{
	if (strspn(backend->text, "0123456789") == strlen(backend->text))
		return backend->count && address_port(&backend->addresses[0]) == address_port(at);
	for (unsigned int i = 0; i < backend->count; i++)
		if (leads_to(&backend->addresses[i], at))
			return true;
	return false;
}

/* "--route", or "FILE:LINE: route" if the file gives it: such an error is still about one line. */
static const char *name_of(const struct options *options, const char *option, unsigned int line, char *out, size_t size)
{
	if (line)
		snprintf(out, size, "%s:%u: %s", options->config, line, option);
	else
		snprintf(out, size, "--%s", option);
	return out;
}

static bool check_routes(const struct options *options, struct sentence *why)
{
	char name[ADDRESS_TEXT_MAX], text[ROUTE_TEXT_MAX], place[512];
	const struct routes *routes = &options->routes;

	for (unsigned int i = 0; i < CLIENTHELLO_RULES_MAX; i++) {
		const struct endpoint *backend = &options->backends[ROUTE_RULE + i];
		unsigned int proxy = options->proxy[ROUTE_RULE + i];

		if (i >= routes->count && proxy)
			return sentence_refuse(why, "%s %s=v%u: %s does not exist (--route options given: %u)",
					       name_of(options, "proxy-protocol", options->proxy_lines[ROUTE_RULE + i],
						       place, sizeof(place)),
					       route_name(ROUTE_RULE + i), proxy, route_name(ROUTE_RULE + i),
					       routes->count);
		for (unsigned int at = 0; i < routes->count && at < options->listener_count; at++)
			if (leads_back(backend, &options->listeners[at]))
				return sentence_refuse(
					why,
					"%s %s -> %s leads back to listening port %u (it reaches %s); give the backend of a rule a port of its own",
					name_of(options, "route", routes->lines[i], place, sizeof(place)),
					routes_format(routes, i, text, sizeof(text)), backend->text,
					address_port(&options->listeners[at]),
					address_format(&options->listeners[at], name, sizeof(name)));
	}
	return true;
}

static bool sends_tlvs(const struct options *options)
{
	for (unsigned int route = 0; route < ROUTES; route++)
		if (options->proxy[route] == PROXY_V2)
			return true;
	return false;
}

static bool decide_in_place(struct options *options, struct sentence *why)
{
	const struct endpoint *https = &options->backends[ROUTE_HTTPS], *acme = &options->backends[ROUTE_ACME];
	char name[ADDRESS_TEXT_MAX];

	for (unsigned int i = 0; i < options->listener_count; i++) {
		const struct address *at = &options->listeners[i];

		if (leads_back(acme, at))
			return sentence_refuse(
				why,
				"--acme leads back to listening port %u (%s reaches %s); give the ACME client a port of its own, such as 10443",
				address_port(at), acme->text, address_format(at, name, sizeof(name)));
		options->in_place[i] = leads_back(https, at);
		options->in_place_count += options->in_place[i];
	}
	if (options->in_place_count && options->activated)
		return sentence_refuse(
			why,
			"--https %s is a port that the service manager listens on for alpnbpf (LISTEN_FDS), but in place the web server itself listens there; disable the socket unit, or move the web server (--https 8443)",
			https->text);
	if (options->in_place_count && options->proxy[ROUTE_HTTPS] != PROXY_NONE)
		return sentence_refuse(
			why,
			"--https %s is the listening port: the web server is served in place and gets most connections directly, without a PROXY header; leave out %s",
			https->text, options->client_address_proxy ? "--client-address" : "--proxy-protocol https=");
	return true;
}

static bool check_client_address(struct options *options, struct sentence *why)
{
	const struct endpoint *https = &options->backends[ROUTE_HTTPS];
	const char *way = options->client_address == CLIENT_ADDRESS_PEERNAME ? "peername" : "transparent";

	if (options->client_address_proxy) {
		if (options->proxy[ROUTE_HTTPS] && options->proxy[ROUTE_HTTPS] != options->client_address_proxy)
			return sentence_refuse(
				why,
				"--client-address proxy-v%d: --proxy-protocol asks for https=v%d; give one of the two",
				(int)options->client_address_proxy, (int)options->proxy[ROUTE_HTTPS]);
		options->proxy[ROUTE_HTTPS] = options->client_address_proxy;
	}
	if (options->client_address != CLIENT_ADDRESS_PEERNAME && options->client_address != CLIENT_ADDRESS_TRANSPARENT)
		return true;
	if (options->proxy[ROUTE_HTTPS])
		return sentence_refuse(
			why,
			"--client-address %s: --proxy-protocol https= already tells the web server the address; give one of the two",
			way);
	if (!options_is_local_tcp(https))
		return sentence_refuse(
			why,
			"--client-address %s: --https %s is not a TCP port of this machine, as this needs; use proxy-v2",
			way, https->text);
	for (unsigned int i = 0; i < https->count; i++) {
		struct address plain = address_unmapped(&https->addresses[i]);

		if (options->client_address == CLIENT_ADDRESS_TRANSPARENT && !address_is_loopback(&plain))
			return sentence_refuse(
				why,
				"--client-address transparent: --https %s is not a loopback address, and only answers from loopback can be routed back to alpnbpf; use 127.0.0.1:%u, peername or proxy-v2",
				https->text, address_port(&plain));
	}
	return true;
}

/* If the service manager passed sockets, these are the listeners. */
static bool use_activated(struct options *options, struct sentence *why)
{
	const struct activation *activation = activation_get(why);

	static_assert(2 * ACTIVATION_MAX <= LISTENERS_MAX, "each socket may count for two families");
	if (!activation)
		return false;
	if (!activation->count)
		return true;
	options->activated = activation;
	memset(options->listener_implied, 0, sizeof(options->listener_implied));
	return activation_replace(activation, options->listeners, &options->listener_count, why);
}

bool options_finish(struct options *options, struct sentence *why)
{
	if (!check_client_address(options, why))
		return false;
	if ((options->proxy_tlv_alpn || options->proxy_tlv_authority) && !sends_tlvs(options))
		return sentence_refuse(
			why,
			"--proxy-tlv: TLVs need a version 2 PROXY header, and no route gets one; add --proxy-protocol https=v2");
	if (!use_activated(options, why))
		return false;
	if (options->listener_count == 0) {
		unsigned int count;

		if (!listen_parse(options->listeners, &count, "443", why))
			return false;
		options->listener_count = count;
		for (unsigned int i = 0; i < count; i++)
			options->listener_implied[i] = true;
	}
	return check_routes(options, why) && decide_in_place(options, why);
}
