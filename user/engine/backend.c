// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connects to backends. Nothing here blocks: an attempt ends at once, by an epoll event, or by the session's retry
 * timer. Runs on the thread of the session's worker.
 */
#include "engine/backend.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/backend_owner.h"
#include "engine/connect.h"
#include "engine/deadlines.h"
#include "engine/flow.h"
#include "engine/peek.h"
#include "engine/proxy_protocol.h"
#include "engine/side.h"
#include "engine/turn.h"
#include "engine/unreachable.h"
#include "engine/worker.h"

#define RETRY_FIRST_US (20 * US_PER_MS)
#define RETRY_LAST_US  (500 * US_PER_MS)
#define REPLACED_MOST  8 /* attempts at an address at once */
#define ASK_AGAIN_US   (1 * US_PER_MS)
#define ELSEWHERE_US   (60 * 1000 * US_PER_MS) /* how long the address that answered is tried first */
#define RESTART_US     (5000 * US_PER_MS)      /* half of what a CA has */
#define RESTARTS_US    (30000 * US_PER_MS)

/* --- addresses, retries, fallback --- */

/* Closes the backend connection, and stops redirection to it first. */
static void drop_connection(struct session *session)
{
	struct flow *flows = session->flows;

	flow_set_mode(&flows[CLIENT], FLOW_HELD);
	side_close(session, BACKEND, false);
	memset(&flows[BACKEND], 0, sizeof(flows[BACKEND])); /* its socket is closed, so no verdict runs on it */
	session->connecting.header_sent = false;
}

/* Tries again, at the latest at `deadline`. */
static enum backend_step try_later(struct session *session, uint64_t deadline)
{
	struct worker *worker = session->worker;
	uint64_t again = worker->now + session->retry_delay;

	worker->counters.connect_retries++;
	timer_set(&worker->timers, &session->retry, again < deadline ? again : deadline);
	session->retry_delay = 2 * session->retry_delay < RETRY_LAST_US ? 2 * session->retry_delay : RETRY_LAST_US;
	return BACKEND_WAITS;
}

/*
 * Until when a responder that refuses is tried again: acme.sh starts one per name. One that has not answered for long
 * is not expected back.
 */
static uint64_t end_of_restart(const struct session *session)
{
	uint64_t answered = responder_last_answer(session->worker->engine->responder);

	return answered && session->worker->now - answered < RESTARTS_US ? session->started + RESTART_US : 0;
}

static enum backend_step all_failed(struct session *session, int error)
{
	struct worker *worker = session->worker;

	if (session->state == SESSION_HELLO)
		return BACKEND_WAITS; /* ahead of the hello; tried again once the route is known */
	worker->backends[session->connecting.aim].failed_at = worker->now;
	worker->backends[session->connecting.aim].error = error;
	if (session->connecting.aim == ROUTE_ACME) {
		uint64_t restarted = end_of_restart(session);

		if (worker->now < restarted)
			return try_later(session, restarted);
		worker->counters.connect_failed[session->connecting.aim]++;
		unreachable_note(session, error);
		if (session_options(session)->acme_fallback == ACME_FALLBACK_CLOSE) {
			session_end(session, CAUSE_CONNECT_FAILED, true);
			return BACKEND_GAVE_UP;
		}
		worker->counters.acme_fallbacks++;
		turn_leave(session);
		deadline_for_fallback(session);
		session->route = ROUTE_HTTPS;
		return backend_connect(session);
	}
	if (worker->now >= session->connecting.deadline) {
		worker->counters.connect_failed[session->connecting.aim]++;
		unreachable_note(session, error);
		session_end(session, CAUSE_CONNECT_FAILED, true);
		return BACKEND_GAVE_UP;
	}
	return try_later(session, session->connecting.deadline);
}

/* The main thread has been asked for something; looks less often the longer that takes. */
static enum backend_step ask_again(struct session *session)
{
	uint64_t now = session->worker->now, waited = now - session->connecting.asked_at;

	timer_set(&session->worker->timers, &session->retry, now + (waited > ASK_AGAIN_US ? waited : ASK_AGAIN_US));
	return BACKEND_WAITS;
}

/* An attempt failed: goes on to the next address. If another socket took the place of its listener, it is tried again.
 */
static void leave_address(struct session *session, int error)
{
	struct connecting *connecting = &session->connecting;

	drop_connection(session);
	connecting->again = error == -BACKEND_REPLACED ? connecting->again + 1 : 0;
	if (connecting->again && connecting->again < REPLACED_MOST)
		return;
	connecting->again = 0;
	connecting->address = (connecting->address + 1) % connect_address_count(session);
	connecting->left--;
}

static enum backend_step try_addresses(struct session *session, int error)
{
	struct worker *worker = session->worker;

	while (session->connecting.left) {
		error = connect_start(session);
		if (error == -EALREADY) {
			timer_set(&worker->timers, &session->retry,
				  deadline_of_attempt(session, session->connecting.deadline, session->connecting.left));
			return BACKEND_WAITS;
		}
		if (error == -EINPROGRESS)
			return ask_again(session);
		if (error == 0)
			return BACKEND_STANDS;
		leave_address(session, error);
	}
	return all_failed(session, error);
}

static enum backend_step start_round(struct session *session)
{
	session->connecting.asked_at = 0;
	session->connecting.address = connect_first_address(session);
	session->connecting.left = connect_address_count(session);
	return try_addresses(session, -ECONNREFUSED);
}

/* The current attempt failed: tries the next address. */
static enum backend_step attempt_failed(struct session *session, int error)
{
	timer_cancel(&session->worker->timers, &session->retry);
	leave_address(session, error);
	return try_addresses(session, error);
}

/* Starts a round of attempts at the backend of `route`, with the full --connect-timeout. */
static enum backend_step aim_at(struct session *session, enum route route)
{
	session->connecting.aim = route;
	session->connecting.deadline = deadline_of_connecting(session);
	return start_round(session);
}

void backend_connect_ahead(struct session *session)
{
	if (aim_at(session, ROUTE_HTTPS) == BACKEND_STANDS)
		backend_join(session);
}

void backend_drop_other(struct session *session, enum route route)
{
	if (session->sides[BACKEND].fd >= 0 && session->connecting.aim != route)
		drop_connection(session);
}

enum backend_step backend_connect(struct session *session)
{
	backend_drop_other(session, session->route);
	if (session->sides[BACKEND].connected) /* made ahead of the hello */
		return BACKEND_STANDS;
	session->retry_delay = RETRY_FIRST_US;
	return session->sides[BACKEND].fd >= 0 ? BACKEND_WAITS : aim_at(session, session->route);
}

enum backend_step backend_progress(struct session *session)
{
	struct socket_side *sock = &session->sides[BACKEND];
	int result;

	if (sock->connected) {
		/*
		 * Made ahead of the hello, and gone before use: another is made when needed. Once a byte was redirected
		 * to it, it belongs to the session.
		 */
		if ((sock->poll_error || sock->fin_seen) && session->flows[CLIENT].redirected == 0)
			drop_connection(session);
		return BACKEND_WAITS;
	}
	result = connect_result(session);
	if (result == -EALREADY)
		return BACKEND_WAITS;
	sock->blocked = false;
	return result ? attempt_failed(session, result) : BACKEND_STANDS;
}

enum backend_step backend_retry(struct session *session)
{
	if (session->sides[BACKEND].fd < 0) /* none is left after a round; in the middle of it, we have asked */
		return session->connecting.left ? try_addresses(session, session->connecting.own_error)
						: start_round(session);
	return session->sides[BACKEND].connected ? BACKEND_WAITS : attempt_failed(session, -ETIMEDOUT);
}

/* --- the PROXY header and the map --- */

/* The backend closed right after it accepted. Ahead of the hello that does not count: the route may differ. */
static bool backend_lost(struct session *session)
{
	if (session->state == SESSION_HELLO)
		drop_connection(session);
	else
		session_reset(session, BACKEND);
	return false;
}

/* Fills the TLVs, which point into *hello. */
static bool header_tlvs(struct session *session, struct hello *hello, struct proxy_tlvs *tlvs)
{
	const struct options *options = session_options(session);
	size_t position = 0;

	if (!options->proxy_tlv_alpn && !options->proxy_tlv_authority)
		return false;
	if (!peek_hello(session, hello))
		return false;
	if (options->proxy_tlv_alpn)
		hello_alpn_next(hello, &position, &tlvs->alpn, &tlvs->alpn_length);
	if (options->proxy_tlv_authority) {
		tlvs->authority = hello->server_name;
		tlvs->authority_length = strlen(hello->server_name);
	}
	return true;
}

static bool send_header(struct session *session)
{
	enum proxy_version version = session_options(session)->proxy[session->connecting.aim];
	struct socket_side *sock = &session->sides[BACKEND];
	struct address destination = {.len = sizeof(destination.in6)};
	uint8_t header[PROXY_HEADER_MAX];
	struct proxy_tlvs tlvs = {0};
	struct hello hello;
	ssize_t length, sent;

	if (session->connecting.header_sent || version == PROXY_NONE)
		return true;
	if (getsockname(session->sides[CLIENT].fd, &destination.sa, &destination.len)) {
		session_reset(session, CLIENT);
		return false;
	}
	length = proxy_header_encode(header, sizeof(header), version, &session->client, &destination,
				     version == PROXY_V2 && header_tlvs(session, &hello, &tlvs) ? &tlvs : NULL);
	if (length < 0) {
		session_end(session, CAUSE_LOCAL_ERROR, true);
		return false;
	}
	sent = send(sock->fd, header, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent != length) /* an empty send buffer takes all of it, or the connection failed */
		return backend_lost(session);
	sock->sent_apart += (uint64_t)sent;
	session->connecting.header_sent = true;
	return true;
}

bool backend_join(struct session *session)
{
	struct worker *worker = session->worker;
	struct connecting *connecting = &session->connecting;
	struct socket_side *client = &session->sides[CLIENT], *backend = &session->sides[BACKEND];
	enum flow_mode mode;

	if (backend->connected)
		return true; /* joined ahead of the hello */
	backend->connected = backend->readable = true;
	worker->counters.connected[connecting->aim]++;
	worker->backends[connecting->aim].connected_at = worker->now;
	if (!session_follows_client(session))
		worker->first_address[connecting->aim] = connecting->address;
	else if (connecting->address && session->connecting.own_error)
		worker->elsewhere_until = worker->now + ELSEWHERE_US;
	timer_cancel(&worker->timers, &session->retry);
	session->retry_delay = 0;
	if (!send_header(session))
		return false;
	/* Of a validation, every byte is counted when it moves: turn.c. */
	if (client->in_map && backend->is_tcp && connecting->aim != ROUTE_ACME)
		side_insert(session, BACKEND);
	if (!side_poll_or_end(session, BACKEND))
		return false;
	mode = client->in_map && backend->in_map ? FLOW_LIVE : FLOW_USER;
	for (int side = CLIENT; side < SIDES; side++)
		flow_set_mode(&session->flows[side], mode);
	/* The backend may have sent bytes before its socket was in the map. */
	return side_kick(session, BACKEND) == 0 || backend_lost(session);
}
