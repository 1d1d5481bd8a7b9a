// SPDX-License-Identifier: BSD-2-Clause
/* Fills the maps of addresses, at start-up and at a reload. No state. Main thread. */
#include "steering/maps.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "options/changes.h"
#include "steering/endpoint.h"

/* A key of `web_hosts`, which has no port. */
static struct steer_endpoint host_of(const struct address *address)
{
	struct address plain = address_unmapped(address);
	struct steer_endpoint at = steer_endpoint_from(&plain);

	at.port = 0;
	return at;
}

static bool has_host(const struct endpoint *backend, const struct steer_endpoint *host)
{
	for (unsigned int i = 0; i < backend->count; i++) {
		struct steer_endpoint other = host_of(&backend->addresses[i]);

		if (memcmp(host, &other, sizeof(other)) == 0)
			return true;
	}
	return false;
}

/* Removes old entries after the new ones are in, so that every connection finds one of the two. */
static void remove_old(const struct steer_maps *maps, const struct options *old, const struct options *new)
{
	const struct endpoint *https = &old->backends[ROUTE_HTTPS];

	for (unsigned int i = 0; i < old->listener_count; i++) {
		struct steer_endpoint at = steer_endpoint_from(&old->listeners[i]);

		if (!options_has_listener(new, &old->listeners[i]))
			bpf_map_delete_elem(maps->addresses, &at);
	}
	for (unsigned int i = 0; i < https->count; i++) {
		struct steer_endpoint at = host_of(&https->addresses[i]);

		if (!has_host(&new->backends[ROUTE_HTTPS], &at))
			bpf_map_delete_elem(maps->web_hosts, &at);
	}
}

/* Sets the port's bit. Bits of earlier configurations stay set, because their connections may still exist. */
static void watch_port(const struct steer_maps *maps, const struct address *address)
{
	unsigned int port = address_port(address);

	maps->watched_ports[port / 32] |= 1U << port % 32;
}

int maps_fill(const struct steer_maps *maps, const struct steer_plan *plan, const struct options *old,
	      const struct options *new)
{
	const struct endpoint *https = &new->backends[ROUTE_HTTPS];
	uint8_t present = 1;

	for (unsigned int i = 0; i < new->listener_count; i++) {
		struct steer_endpoint at = steer_endpoint_from(&new->listeners[i]);
		uint32_t rule = new->in_place[i] ? STEER_IN_PLACE : STEER_BYPASS;

		if (rule == STEER_BYPASS && !plan->bypass)
			continue;
		watch_port(maps, &new->listeners[i]);
		if (bpf_map_update_elem(maps->addresses, &at, &rule, BPF_ANY))
			return -errno;
	}
	for (unsigned int i = 0; plan->bypass && i < https->count; i++) {
		struct steer_endpoint at = host_of(&https->addresses[i]);

		watch_port(maps, &https->addresses[i]);
		if (bpf_map_update_elem(maps->web_hosts, &at, &present, BPF_ANY))
			return -errno;
	}
	if (old)
		remove_old(maps, old, new);
	return 0;
}
