// SPDX-License-Identifier: BSD-2-Clause
/* Checks of accepted options. See check_options.h. */
#include "fuzz/check_options.h"

#include <assert.h>
#include <string.h>

#include "options/changes.h"

#define TIME_MOST_MS (576U * 3600 * 1000)

enum options_result parse_options(struct options *options, int argc, char **argv, bool partial, struct sentence *why)
{
	enum options_result result;

	memset(why, 0, sizeof(*why));
	result = (partial ? options_parse_routes : options_parse)(options, argc, argv, why);
	assert((result == OPTIONS_USAGE) == (why->text[0] != '\0'));
	assert(memchr(why->text, '\0', sizeof(why->text)));
	return result;
}

static void check_text(const char *text, size_t size)
{
	assert(memchr(text, '\0', size));
}

static void check_backends(const struct options *options, bool partial)
{
	for (unsigned int route = ROUTE_HTTPS; route < ROUTES; route++) {
		const struct endpoint *backend = &options->backends[route];

		check_text(backend->text, sizeof(backend->text));
		assert(backend->count <= ENDPOINT_ADDRESSES_MAX);
		if (route >= ROUTE_RULE)
			assert((backend->count > 0) == (route - ROUTE_RULE < options->routes.count));
		else
			assert(partial || backend->count);
		assert(options->proxy[route] == PROXY_NONE || options->proxy[route] == PROXY_V1 ||
		       options->proxy[route] == PROXY_V2);
		assert(partial || options->proxy[route] == PROXY_NONE || backend->count);
	}
	assert(options->routes.count <= CLIENTHELLO_RULES_MAX);
}

static void check_listeners(const struct options *options, bool partial)
{
	unsigned int in_place = 0;

	assert(options->listener_count <= LISTENERS_MAX);
	assert(partial || options->listener_count);
	for (unsigned int i = 0; i < options->listener_count; i++) {
		assert(address_port(&options->listeners[i]));
		in_place += options->in_place[i];
		for (unsigned int other = 0; other < i; other++)
			assert(!address_equal(&options->listeners[i], &options->listeners[other]));
	}
	assert(in_place == options->in_place_count);
}

static void check_numbers(const struct options *options)
{
	assert(options->hello_timeout_ms && options->hello_timeout_ms <= TIME_MOST_MS);
	assert(options->connect_timeout_ms && options->connect_timeout_ms <= TIME_MOST_MS);
	assert(options->acme_timeout_ms && options->acme_timeout_ms <= TIME_MOST_MS);
	assert(options->idle_timeout_ms <= TIME_MOST_MS && options->drain_timeout_ms <= TIME_MOST_MS);
	assert(options->max_connections <= 1000000 && options->max_per_source <= 1000000);
	assert(options->workers <= 256);
	assert(options->buffer_bytes >= 64U << 10 && options->buffer_bytes <= 64U << 20);
	assert(options->arm <= ARM_ALWAYS && options->inspect <= INSPECT_STEER);
	assert(options->client_address <= CLIENT_ADDRESS_TRANSPARENT && options->client_address_proxy <= PROXY_V2);
	assert(options->dataplane <= DATAPLANE_USER && options->acme_fallback <= ACME_FALLBACK_CLOSE);
	assert(options->log_level <= LOG_LEVEL_DEBUG && options->log_format <= LOG_FORMAT_JSON);
}

void check_options(const struct options *options, bool partial)
{
	check_backends(options, partial);
	check_listeners(options, partial);
	check_numbers(options);
	check_text(options->name, sizeof(options->name));
	assert(!strpbrk(options->name, "/ \n") && options->name[0] != '.');
	check_text(options->control_group, sizeof(options->control_group));
	assert(!options->metrics || options->metrics_address.sa.sa_family != AF_UNSPEC);
}

void check_same_options(const struct options *a, const struct options *b)
{
	char names[1024];

	assert(options_list_changes(a, b, false, names, sizeof(names)) == 0);
	assert(options_list_changes(a, b, true, names, sizeof(names)) == 0);
}
