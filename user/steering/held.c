// SPDX-License-Identifier: BSD-2-Clause
/* Releases held connections: see held.h. Owns nothing. In the process of the repair helper. */
#include "steering/held.h"

#include <errno.h>

#include "steering/endpoint.h"
#include "steering/takeover_packets.h"
#include "system/route.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace (include/net/flow.h) */

/*
 * Over loopback only what came over it. There, the client is this machine, and the firewall has met it there before. A
 * packet for another machine's address would leave this one (TPROXY).
 */
static int release_over_loopback(const struct removal *removal, const struct steer_idle *idle)
{
	struct address server = steer_endpoint_address(&idle->ends.to, idle->ifindex);
	int raw = removal->raw[steer_family_of(&server)], is_local;

	if (raw < 0)
		return -EAFNOSUPPORT;
	is_local = route_is_local(removal->routes, &server);
	if (is_local <= 0)
		return is_local ? is_local : -EADDRNOTAVAIL;
	return takeover_send_held(raw, idle);
}

int held_release(const struct injector *injector, const struct removal *removal, const struct steer_idle *idle)
{
	return idle->ifindex == LOOPBACK_IFINDEX ? release_over_loopback(removal, idle) : inject_held(injector, idle);
}
