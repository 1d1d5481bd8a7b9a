// SPDX-License-Identifier: BSD-2-Clause
/* Compares options, one by one. Addresses are compared as such: what lies behind them in memory means nothing. */
#include "options/changes.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	if (strcmp(a->text, b->text) != 0 || a->count != b->count)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!address_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	return true;
}

static bool same_acme(const struct options *a, const struct options *b)
{
	return same_endpoint(&a->backends[ROUTE_ACME], &b->backends[ROUTE_ACME]);
}

static bool same_https(const struct options *a, const struct options *b)
{
	return same_endpoint(&a->backends[ROUTE_HTTPS], &b->backends[ROUTE_HTTPS]);
}

bool options_same_routes(const struct options *a, const struct options *b)
{
	if (a->routes.count != b->routes.count ||
	    memcmp(a->routes.rules, b->routes.rules, sizeof(a->routes.rules)) != 0 ||
	    memcmp(a->routes.patterns, b->routes.patterns, sizeof(a->routes.patterns)) != 0)
		return false;
	for (unsigned int i = 0; i < a->routes.count; i++)
		if (!same_endpoint(&a->backends[ROUTE_RULE + i], &b->backends[ROUTE_RULE + i]))
			return false;
	return true;
}

bool options_has_listener(const struct options *options, const struct address *address)
{
	for (unsigned int i = 0; i < options->listener_count; i++)
		if (address_equal(&options->listeners[i], address))
			return true;
	return false;
}

static bool same_listeners(const struct options *a, const struct options *b)
{
	for (unsigned int i = 0; i < a->listener_count; i++)
		if (!options_has_listener(b, &a->listeners[i]))
			return false;
	return a->listener_count == b->listener_count;
}

static bool same_metrics(const struct options *a, const struct options *b)
{
	return a->metrics == b->metrics && (!a->metrics || address_equal(&a->metrics_address, &b->metrics_address));
}

static bool same_client_address(const struct options *a, const struct options *b)
{
	return a->client_address == b->client_address && a->client_address_proxy == b->client_address_proxy;
}

#define FIELD(name, option)                                                                                            \
	{                                                                                                              \
		option, NULL, offsetof(struct options, name), sizeof(((struct options *)0)->name), false               \
	}
#define FIXED(name, option)                                                                                            \
	{                                                                                                              \
		option, NULL, offsetof(struct options, name), sizeof(((struct options *)0)->name), true                \
	}

/* By option; those that are fixed are what the process was built around when it started. */
static const struct {
	const char *option;
	bool (*same)(const struct options *a, const struct options *b); /* NULL: the field's bytes */
	size_t offset, size;
	bool fixed;
} parts[] = {
	{"acme", same_acme, 0, 0, false},
	{"https", same_https, 0, 0, false},
	{"route", options_same_routes, 0, 0, false},
	{"listen", same_listeners, 0, 0, false},
	{"client-address", same_client_address, 0, 0, true},
	{"metrics", same_metrics, 0, 0, true},
	FIELD(proxy, "proxy-protocol"),
	FIELD(proxy_tlv_alpn, "proxy-tlv alpn"),
	FIELD(proxy_tlv_authority, "proxy-tlv authority"),
	FIELD(hello_timeout_ms, "hello-timeout"),
	FIELD(connect_timeout_ms, "connect-timeout"),
	FIELD(idle_timeout_ms, "idle-timeout"),
	FIELD(acme_timeout_ms, "acme-timeout"),
	FIELD(drain_timeout_ms, "drain-timeout"),
	FIELD(acme_fallback, "acme-fallback"),
	FIELD(max_connections, "max-connections"),
	FIELD(max_per_source, "max-per-source"),
	FIELD(buffer_bytes, "buffer"),
	FIELD(defer_accept, "no-defer-accept"),
	FIELD(log_level, "log-level"),
	FIELD(log_format, "log-format"),
	FIXED(arm, "arm"),
	FIXED(inspect, "inspect"),
	FIXED(bypass, "no-bypass"),
	FIXED(workers, "workers"),
	FIXED(dataplane, "dataplane"),
	FIXED(name, "name"),
	FIXED(control_group, "control-group"),
};

static bool has_changed(size_t part, const struct options *old, const struct options *new)
{
	size_t offset = parts[part].offset;

	if (parts[part].same)
		return !parts[part].same(old, new);
	return memcmp((const char *)old + offset, (const char *)new + offset, parts[part].size) != 0;
}

unsigned int options_list_changes(const struct options *old, const struct options *new, bool fixed, char *out,
				  size_t size)
{
	unsigned int count = 0;
	size_t length = 0;

	*out = '\0';
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].fixed != fixed || !has_changed(i, old, new))
			continue;
		if (length < size)
			length += (size_t)snprintf(out + length, size - length, "%s%s", count ? ", " : "",
						   parts[i].option);
		count++;
	}
	return count;
}
