// SPDX-License-Identifier: BSD-2-Clause
/*
 * The options that are addresses: backends, listeners, metrics. Owns nothing; on the thread of options_parse(), which
 * blocks while a backend's name is looked up. See parser.h.
 */
#include "options/parser.h"

#include <string.h>

bool options_is_local_tcp(const struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < endpoint->count; i++)
		if (endpoint->addresses[i].sa.sa_family == AF_UNIX || !address_is_local(&endpoint->addresses[i]))
			return false;
	return true;
}

bool options_same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	if (strcmp(a->text, b->text) != 0 || a->count != b->count)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!address_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	return true;
}

bool option_parse_backend(struct parser *parser, const char *text)
{
	const struct option_spec *spec = parser->spec;
	struct sentence why;

	if (endpoint_parse(&parser->options->backends[spec->route], text, &why))
		return true;
	return sentence_refuse(parser->why, "--%s %s: %s", spec->name, text, why.text);
}

bool option_same_backend(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	return options_same_endpoint(&a->backends[spec->route], &b->backends[spec->route]);
}

bool option_parse_listen(struct parser *parser, const char *text)
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
						       "--listen %s: %s is already given; give each address once", text,
						       address_format(&addresses[i], name, sizeof(name)));
		if (options->listener_count == LISTENERS_MAX)
			return sentence_refuse(parser->why, "--listen %s: one address too many; the limit is %d", text,
					       LISTENERS_MAX);
		options->listener_implied[options->listener_count] = count > 1;
		options->listeners[options->listener_count++] = addresses[i];
	}
	return true;
}

void option_reset_listen(struct options *options)
{
	options->listener_count = 0;
}

bool options_has_listener(const struct options *options, const struct address *address)
{
	for (unsigned int i = 0; i < options->listener_count; i++)
		if (address_equal(&options->listeners[i], address))
			return true;
	return false;
}

bool option_same_listen(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	(void)spec;
	for (unsigned int i = 0; i < a->listener_count; i++)
		if (!options_has_listener(b, &a->listeners[i]))
			return false;
	return a->listener_count == b->listener_count;
}

bool option_parse_metrics(struct parser *parser, const char *text)
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

bool option_same_metrics(const struct option_spec *spec, const struct options *a, const struct options *b)
{
	(void)spec;
	return a->metrics == b->metrics && (!a->metrics || address_equal(&a->metrics_address, &b->metrics_address));
}
