// SPDX-License-Identifier: BSD-2-Clause
/*
 * Chooses between SOCK_DESTROY and resets: see removal.h. Owns the descriptors of struct removal. Main thread to open
 * and close it, else the repair helper.
 */
#include "steering/removal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "steering/endpoint.h"
#include "steering/removal_proof.h"
#include "steering/server_socket.h"
#include "steering/takeover.h"
#include "steering/takeover_packets.h"
#include "system/capabilities.h"
#include "system/netlink.h"
#include "system/route.h"

static const int families[STEER_FAMILIES] = {[STEER_V4] = AF_INET, [STEER_V6] = AF_INET6};

/* Without the family on this machine, there are no such connections either. */
static int open_raw(struct removal *removal, enum steer_family family, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	int fd = takeover_open_raw(families[family]);

	if (fd == -EAFNOSUPPORT)
		return 0;
	if (fd < 0)
		return sentence_error(why, fd, "cannot open a raw socket: %s",
				      capabilities_strerror(fd, CAPABILITY(CAP_NET_RAW), text, sizeof(text)));
	removal->raw[family] = fd;
	return 0;
}

/* What cannot be tried here may work all the same: then it is used, and its errors are seen. */
static void prove_destroying(struct removal *removal)
{
	removal->destroys = true;
	for (int family = 0; family < STEER_FAMILIES; family++) {
		struct sentence why;
		int error = removal_prove(removal->diag, families[family], &why);

		if (!error || *removal->why_trace)
			continue;
		removal->destroys = error == -EAGAIN;
		snprintf(removal->why_trace, sizeof(removal->why_trace), "%.190s", why.text);
	}
}

int removal_open(struct removal *removal, struct sentence *why)
{
	int error;

	*removal = REMOVAL_CLOSED;
	removal->diag = server_socket_open();
	if (removal->diag < 0)
		return sentence_error(why, removal->diag, "cannot open a NETLINK_SOCK_DIAG socket: %s",
				      strerror(-removal->diag));
	removal->routes = netlink_open(NETLINK_ROUTE);
	if (removal->routes < 0)
		return sentence_error(why, removal->routes, "cannot open a NETLINK_ROUTE socket: %s",
				      strerror(-removal->routes));
	error = open_raw(removal, STEER_V4, why);
	if (!error)
		error = open_raw(removal, STEER_V6, why);
	if (!error)
		prove_destroying(removal);
	return error;
}

void removal_close(struct removal *removal)
{
	descriptor_close(&removal->diag);
	descriptor_close(&removal->routes);
	for (int family = 0; family < STEER_FAMILIES; family++)
		descriptor_close(&removal->raw[family]);
}

const char *removal_traces(const struct removal *removal)
{
	return removal->destroys ? "takeovers may leave traces" : "takeovers leave traces";
}

void removal_describe_trace(const struct removal *removal, struct sentence *said)
{
	sentence_set(
		said, "%s: %s; %s", removal_traces(removal), removal->why_trace,
		removal->destroys
			? "it is used all the same, and if it fails, new connections are steered"
			: "the web server's sockets are reset instead, which firewalls may stop; then new connections "
			  "are steered");
}

/* The interface that the server's socket is bound to, or on which its packets arrive. */
static uint32_t device_of(const struct steer_takeover *takeover)
{
	return takeover->agreed.device ? takeover->agreed.device : takeover->ifindex;
}

static int destroy_socket(const struct removal *removal, const struct steer_takeover *takeover)
{
	int error = server_socket_remove(removal->diag, &takeover->ends, device_of(takeover));

	return error == -ENOENT ? 0 : error; /* something new comes each time: takeover_connect() will tell */
}

/* A reset goes over loopback, where a socket of a device, or of a link, does not receive. */
static bool reset_would_arrive(const struct removal *removal, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);

	return !takeover->agreed.device && !address_is_link_local(&client) && !address_is_link_local(&server) &&
	       route_is_local(removal->routes, &server) == 1;
}

/*
 * The server's socket expects the byte after the last one that was let through to it or, if it had no room, the same
 * one as before: each is tried in turn.
 */
static int reset_socket(const struct removal *removal, const struct steer_takeover *takeover, unsigned int tries)
{
	struct address server = takeover_server(takeover);

	return takeover_reset_server(removal->raw[steer_family_of(&server)], takeover,
				     tries % 2 ? takeover->agreed.expected : takeover->passed);
}

int removal_try(const struct removal *removal, const struct steer_takeover *takeover, unsigned int tries)
{
	if (!removal->destroys)
		return reset_would_arrive(removal, takeover) ? reset_socket(removal, takeover, tries) : -EOPNOTSUPP;
	if (!takeover->agreed.deferred && tries == 0 && reset_would_arrive(removal, takeover)) {
		reset_socket(removal, takeover, tries); /* if it fails, SOCK_DESTROY is next */
		return 0;
	}
	return destroy_socket(removal, takeover);
}

unsigned int removal_tries_at_once(const struct removal *removal)
{
	return removal->destroys ? 3 : 1; /* SOCK_DESTROY waits until the server's process has left its socket */
}

bool removal_is_done(const struct removal *removal, const struct steer_takeover *takeover)
{
	struct server_socket found;

	return server_socket_find(removal->diag, &takeover->ends, device_of(takeover), &found) == -ENOENT;
}
