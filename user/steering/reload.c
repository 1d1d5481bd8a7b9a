// SPDX-License-Identifier: BSD-2-Clause
/* Brings the maps and the state that the steering programs share with us up to date. */
#include "steering/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "steering/arming.h"
#include "options/changes.h"

/* --- the addresses --- */

/* The key of `https_addresses`: without a port. */
static struct steer_endpoint host_of(const struct address *address)
{
	struct address plain = address_unmapped(address);
	struct steer_endpoint at = steer_endpoint_from(&plain);

	at.port = 0;
	return at;
}

/* After those of `new` are in: no connection finds less than one of the two. */
static void remove_old(struct steer *steer, const struct options *old, const struct options *new)
{
	const struct endpoint *before = &old->backends[ROUTE_HTTPS], *after = &new->backends[ROUTE_HTTPS];
	int listened = steer->listened;

	for (unsigned int i = 0; i < old->listener_count; i++) {
		struct steer_endpoint at = steer_endpoint_from(&old->listeners[i]);

		if (!options_has_listener(new, &old->listeners[i]))
			bpf_map_delete_elem(listened, &at);
	}
	for (unsigned int i = 0; i < before->count; i++) {
		struct steer_endpoint at = host_of(&before->addresses[i]);
		bool stays = false;

		for (unsigned int j = 0; j < after->count; j++) {
			struct steer_endpoint other = host_of(&after->addresses[j]);

			stays = stays || memcmp(&at, &other, sizeof(at)) == 0;
		}
		if (!stays)
			bpf_map_delete_elem(steer->https_addresses, &at);
	}
}

/* One bit more; those of earlier configurations stay, since their connections may. */
static void watch_port(struct steer *steer, const struct address *address)
{
	unsigned int port = address_port(address);

	steer->watched_ports[port / 32] |= 1U << port % 32;
}

int steer_fill_maps(struct steer *steer, const struct options *old, const struct options *new)
{
	const struct endpoint *https = &new->backends[ROUTE_HTTPS];
	int listened = steer->listened;
	int addresses = steer->https_addresses;
	uint8_t present = 1;

	for (unsigned int i = 0; i < new->listener_count; i++) {
		struct steer_endpoint at = steer_endpoint_from(&new->listeners[i]);
		uint32_t rule = new->in_place[i] ? STEER_IN_PLACE : STEER_BYPASS;

		if (rule == STEER_BYPASS && !steer->bypass)
			continue;
		watch_port(steer, &new->listeners[i]);
		if (bpf_map_update_elem(listened, &at, &rule, BPF_ANY))
			return -errno;
	}
	for (unsigned int i = 0; steer->bypass && i < https->count; i++) {
		struct steer_endpoint at = host_of(&https->addresses[i]);

		watch_port(steer, &https->addresses[i]);
		if (bpf_map_update_elem(addresses, &at, &present, BPF_ANY))
			return -errno;
	}
	if (old)
		remove_old(steer, old, new);
	return 0;
}

/* --- a reload --- */

static unsigned int https_port(const struct options *options)
{
	return address_port(&options->backends[ROUTE_HTTPS].addresses[0]);
}

/* In place, a listened port is the web server's own. */
static bool same_in_place(const struct options *old, const struct options *new)
{
	unsigned int common = 0;

	for (unsigned int i = 0; i < old->listener_count; i++)
		for (unsigned int j = 0; old->in_place[i] && j < new->listener_count; j++)
			common += new->in_place[j] && address_equal(&old->listeners[i], &new->listeners[j]);
	return common == old->in_place_count && common == new->in_place_count;
}

bool steer_can_change(const struct steer *steer, const struct options *old, const struct options *new, char *why,
		      size_t size)
{
	const char *what = NULL;

	if (!same_in_place(old, new))
		what = "which ports are served in place";
	else if (steer_wants_bypass(old) != steer_wants_bypass(new))
		what = "whether connections are bypassed";
	else if (steer->skel && !steer_why_always(old) != !steer_why_always(new))
		what = "whether alpnbpf is armed always";
	else if (steer->peername && !options_is_local_tcp(&new->backends[ROUTE_HTTPS]))
		what = "whether the web server is on this machine";
	if (!what)
		return true;
	snprintf(why, size, "%s cannot change while alpnbpf runs; restart it", what);
	return false;
}

static int update_ports(struct steer *steer, const struct options *options)
{
	const struct endpoint *acme = &options->backends[ROUTE_ACME];
	unsigned int acme_port = options_is_local_tcp(acme) ? address_port(&acme->addresses[0]) : 0;
	unsigned int https = https_port(options);
	int error = 0;

	if (https != steer->https_port) {
		/* Connections to the old one live on, and their server may ask for the client's address. */
		steer->state->https_port_before = steer->state->https_port;
		steer->state->https_port = (__u16)https;
		steer->https_port = https;
		if (steer->bypass && steer->arms)
			error = arming_find_anew(steer, STEER_HTTPS);
	}
	if (!error && acme_port != steer->acme_port) {
		steer->state->acme_port = (__u16)acme_port;
		steer->acme_port = acme_port;
		if (steer->arms)
			error = arming_find_anew(steer, STEER_ACME);
	}
	return error;
}

int steer_change(struct steer *steer, const struct options *old, const struct options *new)
{
	int error;

	if (!steer->skel)
		return 0;
	error = steer_fill_maps(steer, old, new);
	if (!error)
		error = update_ports(steer, new);
	if (error && steer_fill_maps(steer, new, old) == 0)
		update_ports(steer, old);
	if (!error && steer_why_always(new)) /* another reason now, perhaps */
		steer->armed_always = steer_why_always(new);
	return error;
}
