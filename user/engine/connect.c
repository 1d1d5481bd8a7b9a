// SPDX-License-Identifier: BSD-2-Clause
/* One attempt to connect to a backend: to which address, and from which. Runs on the thread of the session's worker. */
#include "engine/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/backend_owner.h"
#include "engine/client_sockets.h"
#include "base/descriptor.h"
#include "engine/elsewhere.h"
#include "engine/port_listeners.h"
#include "engine/shared.h"
#include "engine/side.h"
#include "engine/socket_options.h"
#include "engine/worker.h"
#include "system/ports.h"
#include "system/sysctl.h"

#define ASKED_US       (200 * US_PER_MS) /* how long the main thread is waited for */
#define ACME_ELSEWHERE 4                 /* addresses where the ACME client may listen besides those of --acme */

static struct steer *steer_of(const struct session *session)
{
	return &session->worker->engine->steer;
}

/* --- the address to connect to --- */

/* Not for a link-local client: its address means nothing on loopback. */
static bool is_transparent(const struct session *session)
{
	return session->connecting.aim == ROUTE_HTTPS &&
	       session_options(session)->client_address == CLIENT_ADDRESS_TRANSPARENT &&
	       !address_is_link_local(&session->client);
}

/* With a port alone, the ACME client may listen at another address of this machine than the loopback's. */
static bool looks_for_acme(const struct session *session)
{
	return session->connecting.aim == ROUTE_ACME && session->configuration->owners.acme_anywhere;
}

unsigned int connect_address_count(const struct session *session)
{
	if (session_follows_client(session))
		return is_transparent(session) ? 1 : 2;
	return session_backend(session)->count + (looks_for_acme(session) ? ACME_ELSEWHERE : 0);
}

/* Is it one of those after the addresses of the options? */
static bool is_elsewhere(const struct session *session)
{
	return session->connecting.address >= (session_follows_client(session) ? 1 : session_backend(session)->count);
}

struct address connect_address(const struct session *session)
{
	struct address address;

	if (is_elsewhere(session))
		return session->connecting.elsewhere;
	if (!session_follows_client(session))
		return session_backend(session)->addresses[session->connecting.address];
	address = session->destination;
	if (!is_transparent(session))
		return address;
	/* Only answers from loopback to the client's address are routed back to us. */
	if (address.sa.sa_family == AF_INET)
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.in6.sin6_addr = in6addr_loopback;
	return address;
}

unsigned int connect_first_address(const struct session *session)
{
	struct address client = address_unmapped(&session->client);
	const struct endpoint *endpoint = session_backend(session);

	if (session_follows_client(session))
		return session->worker->now < session->worker->elsewhere_until && !is_transparent(session);
	if (looks_for_acme(session)) /* where else it listens is looked for last */
		return 0;
	if (session->connecting.aim == ROUTE_HTTPS && (steer_of(session)->plan.peername || is_transparent(session)))
		for (unsigned int i = 0; i < endpoint->count; i++)
			if (endpoint->addresses[i].sa.sa_family == client.sa.sa_family)
				return i;
	/* This session may have an older configuration, with fewer addresses. */
	return session->worker->first_address[session->connecting.aim] < endpoint->count
		       ? session->worker->first_address[session->connecting.aim]
		       : 0;
}

/* --- one attempt --- */

static int connect_once(int fd, const struct address *address)
{
	if (connect(fd, &address->sa, address->len) == 0 || errno == EISCONN)
		return port_connected_to_itself(fd, address) ? -ECONNREFUSED : 0;
	return errno == EINPROGRESS ? -EALREADY : -errno;
}

/*
 * Binds to the client's address, and to its port if that is free. For a server of the other family that is not
 * possible; then the connection comes from our own address.
 */
static int bind_as_client(int fd, const struct address *client, sa_family_t family)
{
	struct address from = address_unmapped(client);

	if (from.sa.sa_family != family)
		return 0;
	if (bind(fd, &from.sa, from.len) == 0)
		return 0;
	if (errno != EADDRINUSE && errno != EACCES) /* EACCES: a port below 1024, without CAP_NET_BIND_SERVICE */
		return -errno;
	if (family == AF_INET)
		from.in.sin_port = 0;
	else
		from.in6.sin6_port = 0;
	return bind(fd, &from.sa, from.len) ? -errno : 0;
}

/* Calls connect(), and tells steering about the connection. */
static int begin_connection(struct session *session, const struct address *address)
{
	struct steer *steer = steer_of(session);
	int fd = session->sides[BACKEND].fd, result = 0;
	bool tracked = session->connecting.aim == ROUTE_HTTPS && steer->own.are_tracked;

	if (is_transparent(session))
		result = bind_as_client(fd, &session->client, address->sa.sa_family);
	if (!result && tracked)
		result = own_connection_begin(&steer->own, fd, &session->client, address, &session->connecting.own);
	if (result)
		return result;
	result = connect_once(fd, address);
	if (tracked) {
		int error = own_connection_end(&steer->own, &session->connecting.own);

		if (error && (result == 0 || result == -EALREADY))
			result = error;
	}
	return result;
}

static bool default_paces; /* written once, before any worker runs */

void connect_prepare(void)
{
	char name[32];

	default_paces =
		sysctl_text("net/ipv4/tcp_congestion_control", name, sizeof(name)) && strncmp(name, "bbr", 3) == 0;
}

/*
 * Within this machine there is no congestion to control, and the administrator's choice for the network can be
 * expensive: BBR paces, with a timer for every few segments.
 */
static void set_congestion_control(const struct session *session, int fd, const struct address *address)
{
	static const char plain[] = "reno"; /* every kernel has it, and every user may set it */

	if (default_paces && (address_is_loopback(address) || session_follows_client(session)))
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof(plain) - 1);
}

/* 1 or 0, or -errno. */
static int is_own_address(const struct session *session)
{
	if (address_is_loopback(&session->destination))
		return 1;
	return local_addresses_has(&session->worker->engine->shared->addresses, &session->destination);
}

/* The main thread has to do something first. -EINPROGRESS; 0: it takes too long. */
static int wait_for_main(struct session *session)
{
	struct connecting *connecting = &session->connecting;
	uint64_t now = session->worker->now;

	if (!connecting->asked_at)
		connecting->asked_at = now;
	return now - connecting->asked_at < ASKED_US ? -EINPROGRESS : 0;
}

/*
 * The listeners of a port. 1: here they are; 0: goes on without, because the main thread takes long; -EINPROGRESS: they
 * are not known yet. fresh: as they are since this round of attempts has asked.
 */
static int list_port(struct session *session, unsigned int port, bool fresh, struct port_list *list)
{
	struct connecting *connecting = &session->connecting;
	uint64_t now = session->worker->now;
	uint64_t since = fresh ? (connecting->asked_at ? connecting->asked_at : now) : 0;

	return port_listeners_of(session->worker, port, since, list) ? 1 : wait_for_main(session);
}

/* Is there another address? If not all listeners are known, nothing is certain. 1 or 0, or -EINPROGRESS. */
static int choose_elsewhere(struct session *session, bool is_local)
{
	struct port_list list;
	int known = list_port(session, address_port(&session->destination), false, &list);

	if (known <= 0)
		return known;
	return list.count > 0 && list.count <= PORT_LISTENERS_MAX &&
	       elsewhere_among(list.found, (unsigned int)list.count, &session->destination, is_local,
			       &session->connecting.elsewhere);
}

/* A listener with an address of its own, which a connection to the loopback does not reach. */
static bool is_apart(const struct session *session, const struct listening *listening)
{
	const struct endpoint *acme = session_backend(session);

	for (unsigned int i = 0; i < acme->count; i++)
		if (address_equal(&acme->addresses[i], &listening->address))
			return false;
	/* The interface of a link-local address is not known. */
	return !address_is_wildcard(&listening->address) && !address_is_link_local(&listening->address) &&
	       backend_owner_may_be(session, listening);
}

/* All addresses of --acme have failed: where else does the ACME client listen? 0 or -errno. */
static int choose_acme(struct session *session)
{
	unsigned int which = session->connecting.address - session_backend(session)->count;
	struct port_list list;
	int known = list_port(session, address_port(&session_backend(session)->addresses[0]), true, &list);

	if (known < 0)
		return known;
	for (int i = 0; known && i < list.count && i < PORT_LISTENERS_MAX; i++) {
		struct address plain = address_unmapped(&list.found[i].address);

		if (!is_apart(session, &list.found[i]) || which--)
			continue;
		session->connecting.elsewhere = plain;
		return 0;
	}
	return session->connecting.own_error ? session->connecting.own_error : -ECONNREFUSED;
}

/*
 * In place, nothing of ours may leave this machine: a connection that came by TPROXY has another machine's address.
 * May this address be tried? 0 or -errno.
 */
static int choose_address(struct session *session)
{
	int local, chosen;

	if (!session_follows_client(session))
		return is_elsewhere(session) ? choose_acme(session) : 0;
	if (is_transparent(session))
		return 0;
	local = is_own_address(session);
	if (local < 0)
		return local;
	if (session->connecting.address == 0)
		return local ? 0 : -EHOSTUNREACH;
	chosen = choose_elsewhere(session, local);
	if (chosen)
		return chosen < 0 ? chosen : 0;
	return session->connecting.own_error ? session->connecting.own_error : -EHOSTUNREACH;
}

/* One that can be bound to the client's address is made in advance. */
static int open_socket(struct session *session, const struct address *address)
{
	sa_family_t family = address->sa.sa_family;
	int fd, waits;

	if (!is_transparent(session) || address_unmapped(&session->client).sa.sa_family != family) {
		fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, family == AF_UNIX ? 0 : IPPROTO_TCP);
		return fd < 0 ? -errno : fd;
	}
	fd = client_sockets_take(&session->worker->engine->client_sockets, family);
	waits = fd == -EAGAIN ? wait_for_main(session) : 0;
	return waits ? waits : fd;
}

static int start_attempt(struct session *session, const struct address *address)
{
	struct socket_side *sock = &session->sides[BACKEND];
	bool tcp = address->sa.sa_family != AF_UNIX;
	int on = 1, result, error, fd = open_socket(session, address);

	if (fd < 0)
		return fd;
	sock->fd = fd;
	sock->is_tcp = tcp;
	sock->sent_apart = tcp ? 1 : 0; /* bytes_acked of an active opener counts the SYN */
	if (!tcp)
		descriptor_refuse_passed(sock->fd);
	if (tcp) {
		setsockopt(sock->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(sock->fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
		if (session->connecting.aim == ROUTE_ACME)
			socket_set_acme_buffers(sock->fd, false);
		else
			socket_set_buffers(sock->fd, BACKEND, session_options(session));
		set_congestion_control(session, sock->fd, address);
	}
	result = begin_connection(session, address);
	if (result == -EALREADY) /* over loopback the handshake has finished, but connect() did not wait for it */
		result = connect_once(sock->fd, address);
	if (result == -EALREADY) {
		sock->polls_out = true;
		error = side_poll(session, BACKEND);
		if (error)
			return error;
	}
	return result ? result : backend_owner_verify(session, address);
}

int connect_result(struct session *session)
{
	struct address address = connect_address(session);
	int result = connect_once(session->sides[BACKEND].fd, &address);

	return result ? result : backend_owner_verify(session, &address);
}

int connect_start(struct session *session)
{
	bool first = session->connecting.address == 0;
	int result = choose_address(session);

	if (!result) {
		struct address address = connect_address(session); /* known once it was chosen */

		result = backend_owner_expect(session, &address);
		if (!result)
			result = start_attempt(session, &address);
	}
	if (first)
		session->connecting.own_error = result == -EALREADY ? -ETIMEDOUT : result;
	return result;
}
