// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connecting to backends. Nothing here blocks: an attempt ends at once, by an epoll event, or by the session's retry
 * timer. Runs on the thread of the session's worker.
 */
#include "engine/backend.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/connect.h"
#include "engine/hints.h"
#include "base/log.h"
#include "engine/peek.h"
#include "engine/proxy_protocol.h"
#include "engine/flow.h"
#include "engine/side.h"
#include "engine/worker.h"

#define RETRY_FIRST_US (20 * US_PER_MS)
#define RETRY_LAST_US  (500 * US_PER_MS)

static const struct options *options_of(const struct session *session)
{
	return &session->configuration->options;
}

static const struct endpoint *endpoint_of(const struct session *session)
{
	return &options_of(session)->backends[session->aim];
}

/* --- addresses, retries, fallback --- */

/* Closes the connection, and lets nothing be redirected to where it was. */
static void drop_connection(struct session *session)
{
	struct flow *flows = session->flows;

	flow_set_mode(&flows[CLIENT], FLOW_HELD);
	side_close(session, BACKEND, false);
	memset(&flows[BACKEND], 0, sizeof(flows[BACKEND])); /* its socket is closed: no verdict runs for it any more */
	session->header_sent = false;
}

static void log_unreachable(struct session *session, int error)
{
	static struct log_limit limits[ROUTES];
	bool rule = session->aim >= ROUTE_RULE;
	unsigned long suppressed;
	char hint[320];

	if (!log_limit_pass(&limits[session->aim], &suppressed))
		return;
	hint_refused(endpoint_of(session), session->aim == ROUTE_ACME, hint, sizeof(hint));
	if (session->aim == ROUTE_ACME)
		log_warn("cannot connect to --acme %s: %s%s; %s (%lu more since)", endpoint_of(session)->text,
			 strerror(-error), hint,
			 options_of(session)->acme_fallback == ACME_FALLBACK_HTTPS ? "https gets the connection"
										   : "the connection is closed",
			 suppressed);
	else
		log_warn("cannot connect to %s%s%s within %u ms: %s%s; the client is reset (%lu more since)",
			 rule ? route_name(session->aim) : "--https", rule ? " -> " : " ", endpoint_of(session)->text,
			 options_of(session)->connect_timeout_ms, strerror(-error), hint, suppressed);
}

static enum backend_step all_failed(struct session *session, int error)
{
	struct worker *worker = session->worker;
	uint64_t again;

	if (session->state == SESSION_HELLO)
		return BACKEND_WAITS; /* ahead of the hello: tried for real once the route is known */
	worker->backends[session->aim].failed_at = worker->now;
	worker->backends[session->aim].error = error;
	if (session->aim == ROUTE_ACME) {
		worker->counters.connect_failed[session->aim]++;
		log_unreachable(session, error);
		if (options_of(session)->acme_fallback == ACME_FALLBACK_CLOSE) {
			session_end(session, CAUSE_CONNECT_FAILED, true);
			return BACKEND_GAVE_UP;
		}
		worker->counters.acme_fallbacks++;
		timer_cancel(&worker->timers, &session->deadline);
		session->route = ROUTE_HTTPS;
		return backend_connect(session);
	}
	if (worker->now >= session->connect_deadline) {
		worker->counters.connect_failed[session->aim]++;
		log_unreachable(session, error);
		session_end(session, CAUSE_CONNECT_FAILED, true);
		return BACKEND_GAVE_UP;
	}
	worker->counters.connect_retries++;
	again = worker->now + session->retry_delay; /* and a last time at the deadline */
	timer_set(&worker->timers, &session->retry,
		  again < session->connect_deadline ? again : session->connect_deadline);
	session->retry_delay = 2 * session->retry_delay < RETRY_LAST_US ? 2 * session->retry_delay : RETRY_LAST_US;
	return BACKEND_WAITS;
}

/* The time this attempt may take: its share of what is left. */
static uint64_t attempt_end(const struct session *session)
{
	uint64_t now = session->worker->now;

	if (session->connect_deadline <= now)
		return now;
	return now + (session->connect_deadline - now) / session->addresses_left;
}

static enum backend_step try_addresses(struct session *session, int error)
{
	struct worker *worker = session->worker;

	for (; session->addresses_left; session->addresses_left--) {
		struct address address = connect_address(session);

		error = connect_start(session, &address);
		if (error == -EALREADY) {
			timer_set(&worker->timers, &session->retry, attempt_end(session));
			return BACKEND_WAITS;
		}
		if (error == 0)
			return BACKEND_STANDS;
		drop_connection(session);
		session->address = (session->address + 1) % connect_address_count(session);
	}
	return all_failed(session, error);
}

static enum backend_step start_round(struct session *session)
{
	session->address = connect_first_address(session);
	session->addresses_left = connect_address_count(session);
	return try_addresses(session, -ECONNREFUSED);
}

/* The attempt under way has failed: the next address. */
static enum backend_step attempt_failed(struct session *session, int error)
{
	timer_cancel(&session->worker->timers, &session->retry);
	drop_connection(session);
	session->address = (session->address + 1) % connect_address_count(session);
	session->addresses_left--;
	return try_addresses(session, error);
}

/* A round of attempts at the backend of `route`, with all its time before it. */
static enum backend_step aim_at(struct session *session, enum route route)
{
	session->aim = route;
	session->connect_deadline = session->worker->now + options_of(session)->connect_timeout_ms * US_PER_MS;
	return start_round(session);
}

void backend_connect_ahead(struct session *session)
{
	if (aim_at(session, ROUTE_HTTPS) == BACKEND_STANDS)
		backend_take_over(session);
}

void backend_drop_other(struct session *session, enum route route)
{
	if (session->ends[BACKEND].fd >= 0 && session->aim != route)
		drop_connection(session);
}

enum backend_step backend_connect(struct session *session)
{
	backend_drop_other(session, session->route);
	if (session->ends[BACKEND].connected) /* ahead of the hello */
		return BACKEND_STANDS;
	session->retry_delay = RETRY_FIRST_US;
	return session->ends[BACKEND].fd >= 0 ? BACKEND_WAITS : aim_at(session, session->route);
}

enum backend_step backend_progress(struct session *session)
{
	struct end *end = &session->ends[BACKEND];
	struct address address;
	int result;

	if (end->connected) {
		/* Connected ahead, and gone before it was used: a new one when it is needed. With a byte in it, it is
		 * the session's for good. */
		if ((end->poll_error || end->fin_seen) && session->flows[CLIENT].redirected == 0)
			drop_connection(session);
		return BACKEND_WAITS;
	}
	address = connect_address(session);
	result = connect_result(end->fd, &address);
	if (result == -EALREADY)
		return BACKEND_WAITS;
	end->blocked = false;
	return result ? attempt_failed(session, result) : BACKEND_STANDS;
}

enum backend_step backend_retry(struct session *session)
{
	if (session->ends[BACKEND].fd < 0)
		return start_round(session);
	return session->ends[BACKEND].connected ? BACKEND_WAITS : attempt_failed(session, -ETIMEDOUT);
}

/* --- the PROXY header and the map --- */

/* The backend has gone right after it accepted. Ahead of the hello that means nothing: it may be for another one. */
static bool backend_lost(struct session *session)
{
	if (session->state == SESSION_HELLO)
		drop_connection(session);
	else
		session_reset(session, BACKEND);
	return false;
}

/* What the TLVs say points into *hello. */
static bool header_tlvs(struct session *session, struct hello *hello, struct proxy_tlvs *tlvs)
{
	const struct options *options = options_of(session);
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
	enum proxy_version version = options_of(session)->proxy[session->aim];
	struct end *end = &session->ends[BACKEND];
	struct address destination = {.len = sizeof(destination.in6)};
	uint8_t header[PROXY_HEADER_MAX];
	struct proxy_tlvs tlvs = {0};
	struct hello hello;
	ssize_t sent;
	int length;

	if (session->header_sent || version == PROXY_NONE)
		return true;
	if (getsockname(session->ends[CLIENT].fd, &destination.sa, &destination.len)) {
		session_reset(session, CLIENT);
		return false;
	}
	length = proxy_header_encode(header, sizeof(header), version, &session->client, &destination,
				     version == PROXY_V2 && header_tlvs(session, &hello, &tlvs) ? &tlvs : NULL);
	if (length < 0) {
		session_end(session, CAUSE_LOCAL_ERROR, true);
		return false;
	}
	sent = send(end->fd, header, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent != length) /* into an empty send buffer it goes whole, or not at all */
		return backend_lost(session);
	end->sent_apart += (uint64_t)sent;
	session->header_sent = true;
	return true;
}

bool backend_take_over(struct session *session)
{
	struct worker *worker = session->worker;
	struct end *client = &session->ends[CLIENT], *end = &session->ends[BACKEND];
	bool watched = end->watches_out;
	enum flow_mode mode = FLOW_USER;

	if (end->connected)
		return true; /* done ahead of the hello */
	end->connected = true;
	worker->counters.connected[session->aim]++;
	worker->backends[session->aim].connected_at = worker->now;
	if (!connect_follows_client(session))
		worker->first_address[session->aim] = session->address;
	timer_cancel(&worker->timers, &session->retry);
	session->retry_delay = 0;
	if (!send_header(session))
		return false;
	if (client->in_map && end->is_tcp) {
		int error = dataplane_insert(&worker->engine->dataplane, SIDE_KEY(session->slot, BACKEND), end->fd,
					     &end->cookie);

		end->in_map = error == 0;
		if (error)
			log_debug("session %llu: the backend is relayed by user space: %s",
				  (unsigned long long)session->number, strerror(-error));
	}
	if (client->in_map && end->in_map)
		mode = FLOW_LIVE;
	end->readable = !end->in_map;
	if (worker_watch(session, BACKEND, side_events(session, BACKEND), watched)) {
		session_end(session, CAUSE_LOCAL_ERROR, true);
		return false;
	}
	for (int side = CLIENT; side < SIDES; side++)
		flow_set_mode(&session->flows[side], mode);
	/* A backend that speaks first, or answers the header, may have done so before it was in the map. */
	if (end->in_map && dataplane_kick(end->fd))
		return backend_lost(session);
	return true;
}
