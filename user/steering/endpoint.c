// SPDX-License-Identifier: BSD-2-Clause
/* Converts between the two forms of an address. No state; any thread. */
#include "steering/endpoint.h"

#include <netinet/in.h>
#include <string.h>

enum steer_family steer_family_of(const struct address *address)
{
	return address->sa.sa_family == AF_INET ? STEER_V4 : STEER_V6;
}

struct steer_endpoint steer_endpoint_from(const struct address *address)
{
	struct steer_endpoint endpoint = {.port = (__u16)address_port(address)};

	if (address->sa.sa_family == AF_INET) {
		endpoint.addr[2] = htonl(0xffff);
		endpoint.addr[3] = address->in.sin_addr.s_addr;
	} else {
		memcpy(endpoint.addr, &address->in6.sin6_addr, sizeof(endpoint.addr));
	}
	return endpoint;
}

struct address steer_endpoint_address(const struct steer_endpoint *endpoint, unsigned int scope)
{
	struct address address = {.len = sizeof(address.in6)};

	address.in6.sin6_family = AF_INET6;
	address.in6.sin6_port = htons(endpoint->port);
	memcpy(&address.in6.sin6_addr, endpoint->addr, sizeof(endpoint->addr));
	if (IN6_IS_ADDR_LINKLOCAL(&address.in6.sin6_addr))
		address.in6.sin6_scope_id = scope;
	return address_unmapped(&address);
}
