// SPDX-License-Identifier: BSD-2-Clause
/* Notes and logs backends that cannot be connected to: see unreachable.h. Owns nothing. */
#include "engine/unreachable.h"

#include <string.h>

#include "base/log.h"
#include "engine/backend_owner.h"
#include "engine/shared.h"
#include "engine/worker.h"
#include "system/listening.h"

#define LISTENERS_LOOKED_AT 8
#define ERRORS              4096 /* of the kernel, at most */

/* --- a worker's side --- */

void unreachable_note(const struct session *session, int error)
{
	static struct log_limit limits[ROUTES];
	struct worker *worker = session->worker;
	enum route route = session->connecting.aim;
	unsigned long suppressed;

	if (!log_limit_pass(&limits[route], &suppressed))
		return;
	atomic_store(&worker->engine->shared->unreachable[route].error, error);
	atomic_fetch_add(&worker->engine->shared->unreachable[route].count, suppressed + 1);
	worker_answered(worker);
}

/* --- the main thread's side --- */

/* A wildcard that takes IPv4 as well would have answered. */
static const char *kind_of(const struct listening *listener)
{
	bool v6 = listener->address.sa.sa_family == AF_INET6;

	return v6 && !listener->dual_stack && address_is_wildcard(&listener->address) ? ", IPv6 only (V6ONLY)" : "";
}

static bool is_among(const struct endpoint *backend, const struct address *address)
{
	for (unsigned int i = 0; i < backend->count; i++)
		if (address_equal(&backend->addresses[i], address))
			return true;
	return false;
}

/*
 * Why a backend on this machine may refuse: what listens on its port at another address, or that nothing does. A clause
 * that begins with "; ", or "" where there is nothing to say.
 */
static void hint_refused(const struct endpoint *backend, bool acme, struct sentence *hint)
{
	unsigned int port = address_port(&backend->addresses[0]);
	struct listening listeners[LISTENERS_LOOKED_AT];
	char name[ADDRESS_TEXT_MAX];
	int count;

	*hint = (struct sentence){0};
	for (unsigned int i = 0; i < backend->count; i++)
		if (backend->addresses[i].sa.sa_family == AF_UNIX || !address_is_local(&backend->addresses[i]))
			return;
	count = listening_on(port, listeners, LISTENERS_LOOKED_AT);
	if (count == 0 && acme)
		sentence_set(hint,
			     "; nothing listens on port %u: is the ACME client's responder running, with that port "
			     "(acme.sh --tlsport %u, lego --tls.port :%u)?",
			     port, port, port);
	else if (count == 0)
		sentence_set(hint, "; nothing listens on port %u", port);
	for (int i = 0; i < count && i < LISTENERS_LOOKED_AT; i++) {
		if (is_among(backend, &listeners[i].address))
			continue;
		sentence_set(hint, "; the listener on port %u is bound to %s%s: use that address, or the port alone",
			     port, address_format(&listeners[i].address, name, sizeof(name)), kind_of(&listeners[i]));
		return;
	}
}

/* error: as a worker has written it. */
const char *unreachable_text(int error)
{
	if (error == -BACKEND_STRANGER)
		return "the listener there belongs to another user";
	if (error == -BACKEND_REPLACED)
		return "the listener there was replaced meanwhile";
	return error < 0 && error > -ERRORS ? strerror(-error) : "unknown error";
}

static void log_route(const struct options *options, enum route route, int error, unsigned long suppressed)
{
	const struct endpoint *backend = &options->backends[route];
	bool rule = route >= ROUTE_RULE;
	struct sentence hint;

	if (!backend->count) {
		log_warn("cannot connect to %s, which an earlier configuration had: %s; resetting the client (%lu more "
			 "suppressed)",
			 route_name(route), unreachable_text(error), suppressed);
		return;
	}
	if (error == -BACKEND_STRANGER)
		hint = (struct sentence){0};
	else
		hint_refused(backend, route == ROUTE_ACME, &hint);
	if (route == ROUTE_ACME)
		log_warn("cannot connect to --acme %s: %s%s; %s (%lu more suppressed)", backend->text,
			 unreachable_text(error), hint.text,
			 options->acme_fallback == ACME_FALLBACK_HTTPS ? "handing the connection to --https"
								       : "closing the connection",
			 suppressed);
	else
		log_warn("cannot connect to %s%s%s within %u ms: %s%s; resetting the client (%lu more suppressed)",
			 rule ? route_name(route) : "--https", rule ? " -> " : " ", backend->text,
			 options->connect_timeout_ms, unreachable_text(error), hint.text, suppressed);
}

void unreachable_log(struct engine *engine, const struct options *options)
{
	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++) {
		struct unreachable *noted = &engine->shared->unreachable[route];
		unsigned long count = atomic_load(&noted->count) ? atomic_exchange(&noted->count, 0) : 0;

		if (count)
			log_route(options, route, atomic_load(&noted->error), count - 1);
	}
}
