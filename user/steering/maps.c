// SPDX-License-Identifier: BSD-2-Clause
/* Fills the maps of addresses, at start-up and at a reload. No state. Main thread. */
#include "steering/maps.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <bpf/bpf.h>

#include "options/changes.h"
#include "steering/endpoint.h"
#include "steering/owners.h"

/* At most: the addresses of --acme and --https, and the wildcards; one to look for another. */
#define NAMED_MOST (STEER_KINDS * (ENDPOINT_ADDRESSES_MAX + STEER_FAMILIES) + 1)

/* The entries of `named`. */
struct named {
	unsigned int count;
	struct steer_endpoint at[NAMED_MOST];
	struct steer_named value[NAMED_MOST];
};

static struct steer_named *named_at(struct named *named, const struct steer_endpoint *at)
{
	unsigned int i = 0;

	while (i < named->count && memcmp(&named->at[i], at, sizeof(*at)) != 0)
		i++;
	if (i == named->count)
		named->at[named->count++] = *at;
	return &named->value[i];
}

/* A connection to a wildcard address goes to the loopback. */
static struct address reached_by(const struct address *address)
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
	struct address plain = address_unmapped(address);
	uint16_t port = (uint16_t)address_port(&plain);

	if (!address_is_wildcard(&plain))
		return plain;
	return plain.sa.sa_family == AF_INET ? address_v4(INADDR_LOOPBACK, port) : address_v6(&loopback, port);
}

/* Enters the listeners that a connection to the backend may reach. */
static void name_backend(struct named *named, const struct endpoint *backend, enum steer_kind kind)
{
	for (unsigned int i = 0; i < backend->count; i++) {
		struct address to = reached_by(&backend->addresses[i]);
		struct steer_endpoint at = steer_endpoint_from(&to), any = {.port = at.port};

		named_at(named, &at)->kinds |= 1U << kind;
		if (to.sa.sa_family == AF_INET)
			named_at(named, &any)->if_dual |= 1U << kind;
		any.addr[2] = to.sa.sa_family == AF_INET ? htonl(0xffff) : 0;
		named_at(named, &any)->kinds |= 1U << kind;
	}
}

static void name_backends(struct named *named, const struct steer_plan *plan, const struct options *options)
{
	*named = (struct named){0};
	if (plan_acme_port(options) && !plan_acme_anywhere(options))
		name_backend(named, &options->backends[ROUTE_ACME], STEER_ACME);
	if (plan->bypass)
		name_backend(named, &options->backends[ROUTE_HTTPS], STEER_HTTPS);
}

static uint32_t families_of(const struct endpoint *backend)
{
	uint32_t families = 0;

	for (unsigned int i = 0; i < backend->count; i++) {
		struct address plain = address_unmapped(&backend->addresses[i]);

		families |= 1U << steer_family_of(&plain);
	}
	return families;
}

/* Removes old entries after the new ones are in, so that every connection finds one of the two. */
static void remove_old(const struct steer_maps *maps, const struct steer_plan *plan, const struct options *old,
		       const struct options *new, struct named *named)
{
	struct named before;

	name_backends(&before, plan, old);
	for (unsigned int i = 0; i < old->listener_count; i++) {
		struct steer_endpoint at = steer_endpoint_from(&old->listeners[i]);

		if (!options_has_listener(new, &old->listeners[i]))
			bpf_map_delete_elem(maps->addresses, &at);
	}
	for (unsigned int i = 0; i < before.count; i++) {
		unsigned int kept = named->count;

		named_at(named, &before.at[i]);
		if (named->count > kept) {
			named->count = kept;
			bpf_map_delete_elem(maps->named, &before.at[i]);
		}
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
	struct named named;

	for (unsigned int i = 0; i < new->listener_count; i++) {
		struct steer_endpoint at = steer_endpoint_from(&new->listeners[i]);
		uint32_t rule = new->in_place[i] ? STEER_IN_PLACE : STEER_BYPASS;

		if (rule == STEER_BYPASS && !plan->bypass)
			continue;
		watch_port(maps, &new->listeners[i]);
		if (bpf_map_update_elem(maps->addresses, &at, &rule, BPF_ANY))
			return -errno;
	}
	for (unsigned int i = 0; plan->bypass && i < https->count; i++)
		watch_port(maps, &https->addresses[i]);
	name_backends(&named, plan, new);
	for (unsigned int i = 0; i < named.count; i++)
		if (bpf_map_update_elem(maps->named, &named.at[i], &named.value[i], BPF_ANY))
			return -errno;
	maps->state->https_families = families_of(https);
	maps->state->acme_port = (__u16)(plan_acme_anywhere(new) ? plan_acme_port(new) : 0);
	owners_fill(maps->state, old, new);
	if (old)
		remove_old(maps, plan, old, new, &named);
	return 0;
}
