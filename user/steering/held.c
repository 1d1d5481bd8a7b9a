// SPDX-License-Identifier: BSD-2-Clause
/* Releases held connections: see held.h. Owns the reader of the ring `alpnbpf_idle`. Main thread. */
#include "steering/held.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "steering/endpoint.h"
#include "steering/takeover_packets.h"
#include "system/netlink.h"
#include "system/route.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace (include/net/flow.h) */

/*
 * Over loopback only what came over it. There, the client is this machine, and the firewall has met it there before. A
 * packet for another machine's address would leave this one (TPROXY).
 */
static int release_over_loopback(const struct held_connections *held, const struct steer_idle *idle)
{
	struct address server = steer_endpoint_address(&idle->ends.to, idle->ifindex);
	int raw = held->raw[steer_family_of(&server)], is_local;

	if (raw < 0)
		return -EAFNOSUPPORT;
	is_local = route_is_local(held->routes, &server);
	if (is_local <= 0)
		return is_local ? is_local : -EADDRNOTAVAIL;
	return takeover_send_held(raw, idle);
}

static void release_one(const struct held_connections *held, const struct steer_idle *idle)
{
	static struct log_limit limit;
	struct address client = steer_endpoint_address(&idle->ends.from, idle->ifindex);
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;
	int error = idle->ifindex == LOOPBACK_IFINDEX ? release_over_loopback(held, idle)
						      : inject_held(&held->injector, idle);

	if (error && log_limit_pass(&limit, &suppressed))
		log_info("cannot give the held connection of %s to the web server at once: %s; the web server accepts "
			 "it within a second (%lu more suppressed)",
			 address_format(&client, name, sizeof(name)), strerror(-error), suppressed);
}

static int idle_seen(void *context, void *data, size_t size)
{
	if (size >= sizeof(struct steer_idle))
		release_one(context, data);
	return 0;
}

int held_open(struct held_connections *held, const struct steer_maps *maps, const int *raw)
{
	int error = inject_open(&held->injector, maps->inject);

	held->raw = raw;
	if (error)
		return error;
	held->routes = netlink_open(NETLINK_ROUTE);
	if (held->routes < 0)
		return held->routes;
	held->ring = ring_buffer__new(maps->idle, idle_seen, held, NULL);
	return held->ring ? 0 : -errno;
}

void held_close(struct held_connections *held)
{
	if (held->ring)
		ring_buffer__free(held->ring);
	inject_close(&held->injector);
	descriptor_close(&held->routes);
	*held = HELD_CLOSED;
}

int held_fd(const struct held_connections *held)
{
	return held->ring ? ring_buffer__epoll_fd(held->ring) : NO_DESCRIPTOR;
}

void held_release(struct held_connections *held)
{
	if (held->ring)
		ring_buffer__consume(held->ring);
}
