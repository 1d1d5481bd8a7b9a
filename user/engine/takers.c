// SPDX-License-Identifier: BSD-2-Clause
/* Counts the networks that takeovers come from: see takers.h. Owns engine->takers. Any thread. */
#include "engine/takers.h"

#include <errno.h>
#include <string.h>

#include "engine/engine.h"

#define SHARE        4 /* of all sessions, one in this many */
#define V6_BYTES     6 /* of a /48 */
#define V4_HOST_BITS 8

static struct address network_of(const struct address *client)
{
	struct address network = address_unmapped(client);

	if (network.sa.sa_family == AF_INET)
		network.in.sin_addr.s_addr &= htonl(UINT32_MAX << V4_HOST_BITS);
	else
		memset(&network.in6.sin6_addr.s6_addr[V6_BYTES], 0, sizeof(network.in6.sin6_addr) - V6_BYTES);
	return network;
}

int takers_open(struct engine *engine)
{
	unsigned int share = engine->max_sessions / SHARE;

	engine->takers = source_table_new(engine->max_sessions, share ? share : 1);
	return engine->takers ? 0 : -ENOMEM;
}

bool takers_enter(struct engine *engine, const struct address *client)
{
	struct address network = network_of(client);

	return source_table_enter(engine->takers, &network);
}

void takers_leave(struct engine *engine, const struct address *client)
{
	struct address network = network_of(client);

	source_table_leave(engine->takers, &network);
}
