// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the parsers of BACKEND and of ADDR:PORT. An accepted address is within its bounds, and parses to the same
 * address when it is printed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "fuzz/inputs.h"

/* A refusal has an error text. */
static void check_refusal(const struct sentence *why)
{
	assert(why->text[0]);
	assert(memchr(why->text, '\0', sizeof(why->text)));
}

static void check_address(const struct address *address)
{
	struct address plain = address_unmapped(address), again = address_unmapped(&plain);
	char text[ADDRESS_TEXT_MAX], whole[4 * ADDRESS_TEXT_MAX];

	assert(address_equal(&plain, &again));
	assert(address_equal(address, address));
	assert(strcmp(address_format(address, text, sizeof(text)), address_format(address, whole, sizeof(whole))) == 0);
	switch (address->sa.sa_family) {
	case AF_INET:
		assert(address->len == sizeof(address->in) && address_port(address));
		break;
	case AF_INET6:
		assert(address->len == sizeof(address->in6) && address_port(address));
		break;
	default:
		assert(address->sa.sa_family == AF_UNIX && address->len <= sizeof(address->un));
		assert(memchr(address->un.sun_path, '\0', sizeof(address->un.sun_path)));
		assert(!address_port(address) && address_is_local(address));
	}
	if (address_is_loopback(address) || address_is_wildcard(address))
		assert(address_is_local(address));
}

/* A scope is a number where it is printed, and a name where it is read. */
static bool has_scope(const struct address *address)
{
	return address->sa.sa_family == AF_INET6 && address->in6.sin6_scope_id;
}

static void check_endpoint(const char *text)
{
	struct endpoint endpoint, again;
	struct sentence why = {0};

	if (!endpoint_parse(&endpoint, text, &why)) {
		check_refusal(&why);
		assert(memchr(endpoint.text, '\0', sizeof(endpoint.text)));
		return;
	}
	assert(!why.text[0]);
	assert(strcmp(endpoint.text, text) == 0);
	assert(endpoint.count && endpoint.count <= ENDPOINT_ADDRESSES_MAX);
	for (unsigned int i = 0; i < endpoint.count; i++) {
		struct address plain = address_unmapped(&endpoint.addresses[i]);
		char printed[ADDRESS_TEXT_MAX];

		check_address(&endpoint.addresses[i]);
		assert(!address_is_wildcard(&plain));
		for (unsigned int other = 0; other < i; other++)
			assert(!address_equal(&endpoint.addresses[i], &endpoint.addresses[other]));
		if (has_scope(&plain))
			continue;
		assert(endpoint_parse(&again, address_format(&plain, printed, sizeof(printed)), &why));
		assert(again.count == 1 && address_equal(&again.addresses[0], &plain));
	}
}

static void check_listen(const char *text)
{
	struct address addresses[2], again[2];
	struct sentence why = {0};
	unsigned int count, more;

	if (!listen_parse(addresses, &count, text, &why)) {
		check_refusal(&why);
		return;
	}
	assert(!why.text[0]);
	assert(count == 1 || (count == 2 && address_is_wildcard(&addresses[0]) && address_is_wildcard(&addresses[1])));
	for (unsigned int i = 0; i < count; i++) {
		char printed[ADDRESS_TEXT_MAX];

		check_address(&addresses[i]);
		assert(addresses[i].sa.sa_family != AF_UNIX);
		if (has_scope(&addresses[i]))
			continue;
		assert(listen_parse(again, &more, address_format(&addresses[i], printed, sizeof(printed)), &why));
		assert(more == 1 && address_equal(&again[0], &addresses[i]));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *text = input_text(&input);

	check_endpoint(text);
	check_listen(text);
	free(text);
	return 0;
}
