// SPDX-License-Identifier: BSD-2-Clause
/* Finds the web server's listener among those of its port: see elsewhere.h. Owns nothing. Any thread. */
#include "engine/elsewhere.h"

static struct address loopback_of(const struct address *destination)
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
	uint16_t port = (uint16_t)address_port(destination);

	return destination->sa.sa_family == AF_INET ? address_v4(INADDR_LOOPBACK, port) : address_v6(&loopback, port);
}

/* Does a wildcard listener take connections to addresses of the destination's family? */
static bool takes_family(const struct listening *listener, const struct address *destination)
{
	return listener->address.sa.sa_family == destination->sa.sa_family ||
	       (destination->sa.sa_family == AF_INET && listener->dual_stack);
}

/* Would a connection to `to` go to a listener of that very address, not to a wildcard? */
static bool is_taken(const struct listening *listeners, unsigned int count, const struct address *to)
{
	for (unsigned int i = 0; i < count; i++) {
		struct address bound = address_unmapped(&listeners[i].address);

		if (address_equal(&bound, to))
			return true;
	}
	return false;
}

/* TPROXY names one listener, which nothing here shows: if only one has an address of its own, it may be that. */
static bool has_specific(const struct listening *listeners, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (!address_is_wildcard(&listeners[i].address))
			return true;
	return false;
}

bool elsewhere_among(const struct listening *listeners, unsigned int count, const struct address *destination,
		     bool is_local, struct address *elsewhere)
{
	struct address plain = address_unmapped(destination), loopback = loopback_of(&plain);

	if (!is_local && count == 1 && has_specific(listeners, count)) {
		*elsewhere = address_unmapped(&listeners[0].address);
		return true;
	}
	if ((!is_local && has_specific(listeners, count)) || is_taken(listeners, count, &plain) ||
	    is_taken(listeners, count, &loopback))
		return false;
	for (unsigned int i = 0; i < count; i++) {
		if (!address_is_wildcard(&listeners[i].address) || !takes_family(&listeners[i], &plain))
			continue;
		*elsewhere = loopback;
		return !address_equal(&loopback, &plain);
	}
	return false;
}
