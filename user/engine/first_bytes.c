// SPDX-License-Identifier: BSD-2-Clause
/*
 * From accept() to the route. If the client is in the map, the verdict reads its bytes, and this code reads the result;
 * otherwise the bytes are peeked at here and fed to the same parser. Runs on the thread of the session's worker.
 */
#include "engine/first_bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/backend.h"
#include "engine/deadlines.h"
#include "engine/flow.h"
#include "engine/peek.h"
#include "engine/worker.h"

static enum route decided_route(const struct session *session)
{
	return flow_route(&session->flows[CLIENT]);
}

static bool has_said_something(const struct session *session)
{
	const struct flow *flow = &session->flows[CLIENT];

	return session->sides[CLIENT].in_map ? flow_arrived(flow) > 0 : session->first_bytes.fed > 0;
}

/* Feeds new bytes to the native parser. Returns what recv() returned: > 0, 0 at the end, or -errno. */
static ssize_t feed_parser(struct session *session)
{
	struct worker *worker = session->worker;
	struct flow *flow = &session->flows[CLIENT];
	ssize_t count = peek_bytes(session);

	if (count <= 0)
		return count;
	if ((uint64_t)count > session->first_bytes.fed) {
		enum clienthello_result result =
			clienthello_feed(&flow->hello, worker->scratch + session->first_bytes.fed,
					 (__u32)count - session->first_bytes.fed, peek_rules(session));

		session->first_bytes.fed = (uint32_t)count;
		if (result != CLIENTHELLO_MORE) {
			flow->hello_result = (__u8)result;
			flow->route = route_of_hello(&flow->hello);
			peek_describe(session, (size_t)count);
		}
	}
	return count;
}

static void note_server_name(struct session *session)
{
	struct hello hello;

	if (peek_hello(session, &hello) && hello.server_name[0])
		session->first_bytes.server_name = strdup(hello.server_name);
}

/* result: for the counters; MORE if a deadline or the end of the stream decided. */
static enum route decide_route(struct session *session, enum route route, enum clienthello_result result)
{
	session->worker->counters.hellos[result]++;
	session->first_bytes.is_validation = route == ROUTE_ACME;
	note_server_name(session);
	return route;
}

/* The client ended its side before the route was known. */
static enum route decide_at_end(struct session *session)
{
	if (!has_said_something(session)) {
		session_end(session, CAUSE_CLIENT_LEFT, false);
		return ROUTE_UNDECIDED;
	}
	/* The web server gets the bytes and the FIN, and may answer. */
	return decide_route(session, ROUTE_HTTPS, CLIENTHELLO_MORE);
}

/* Lets the parser, or the verdict, read new bytes. *ended: the client has ended its side. 0 or -errno. */
static int read_on(struct session *session, bool *ended)
{
	const struct socket_side *client = &session->sides[CLIENT];
	ssize_t count;

	if (client->in_map) {
		if (!client->fin_seen)
			return 0;
		/* The barrier: EPOLLRDHUP may come before the verdict has seen the last bytes. */
		*ended = true;
		return dataplane_kick(client->fd);
	}
	if (!client->readable)
		return 0;
	count = feed_parser(session);
	*ended = count == 0 || (client->fin_seen && count > 0);
	return count < 0 && count != -EAGAIN ? (int)count : 0;
}

enum route first_bytes_progress(struct session *session)
{
	bool ended = false;

	if (!decided_route(session) && read_on(session, &ended)) {
		session_reset(session, CLIENT);
		return ROUTE_UNDECIDED;
	}
	if (decided_route(session))
		return decide_route(session, decided_route(session),
				    (enum clienthello_result)session->flows[CLIENT].hello_result);
	return ended ? decide_at_end(session) : ROUTE_UNDECIDED;
}

/*
 * Bytes may wait already, as they do with TCP_DEFER_ACCEPT. Connects the default backend ahead, so that the verdict can
 * redirect even the hello, then lets the verdict see the bytes.
 */
static void start_in_kernel(struct session *session, bool ahead)
{
	struct flow *flows = session->flows;

	if (ahead)
		backend_connect_ahead(session);
	if (session->state != SESSION_HELLO)
		return;
	if (dataplane_kick(session->sides[CLIENT].fd)) {
		session_reset(session, CLIENT);
		return;
	}
	/*
	 * Bytes that were there are now passed or redirected. If there were none, later bytes must not be redirected
	 * without an event: from now on they are passed, and a second kick covers those that came in between.
	 */
	if (!decided_route(session) && flow_arrived(&flows[CLIENT]) == 0) {
		flow_set_mode(&flows[CLIENT], FLOW_HELD);
		dataplane_kick(session->sides[CLIENT].fd);
	}
}

ssize_t first_bytes_look(struct session *session, bool *ahead)
{
	struct worker *worker = session->worker;
	bool header = session_options(session)->proxy[ROUTE_HTTPS] != PROXY_NONE;
	ssize_t count = peek_bytes(session);

	if (count < 0)
		return count;
	*ahead = count > 0;
	if (count > 0) {
		peek_describe(session, (size_t)count);
		/* The hello may be longer by the time it is needed. */
		if (worker->peeked.hello.result == CLIENTHELLO_MORE)
			peek_forget(worker);
		/*
		 * With a PROXY header, a connection made ahead is not unused any more, so it is made only if the route
		 * is https. The header goes out before the kick, and these bytes have its TLVs. With rules, the https
		 * server must not see connections for other routes.
		 */
		if (header || peek_rules(session))
			*ahead = worker->peeked.hello.result != CLIENTHELLO_MORE &&
				 worker->peeked.hello.route == ROUTE_HTTPS;
	}
	return count;
}

enum route first_bytes_start(struct session *session, bool ahead)
{
	enum route route = ROUTE_UNDECIDED;

	if (session->sides[CLIENT].in_map)
		start_in_kernel(session, ahead);
	if (session->state == SESSION_HELLO)
		route = first_bytes_progress(session);
	if (session->state == SESSION_HELLO && route == ROUTE_UNDECIDED)
		deadline_for_hello(session);
	return route;
}

enum route first_bytes_timeout(struct session *session)
{
	/* The last bytes may have come just now. */
	enum route route = first_bytes_progress(session);

	if (route != ROUTE_UNDECIDED || session->state != SESSION_HELLO)
		return route;
	if (!has_said_something(session)) {
		session->worker->counters.hello_silent++;
		session_end(session, CAUSE_HELLO_SILENT, true);
		return ROUTE_UNDECIDED;
	}
	session->worker->counters.hello_timeout++;
	return decide_route(session, ROUTE_HTTPS, CLIENTHELLO_MORE);
}
