// SPDX-License-Identifier: BSD-2-Clause
/* Asks whose listener a connection reaches: see backend_owner.h. Owns nothing. */
#include "engine/backend_owner.h"

#include <sys/socket.h>

#include "engine/configuration.h"
#include "engine/shared.h"
#include "engine/worker.h"
#include "steering/listener_owner.h"
#include "steering/owners.h"
#include "system/listening.h"

#define LISTENERS_LOOKED_AT 64

/* --- a worker's side --- */

static const struct listener_asker *asker_of(const struct session *session)
{
	return &session->worker->engine->steer.asker;
}

static bool is_asked(const struct session *session, const struct address *to)
{
	if (!session->configuration->owners.asked[session->connecting.aim] ||
	    asker_of(session)->program == NO_DESCRIPTOR || to->sa.sa_family == AF_UNIX)
		return false;
	return true;
}

/* Not in place, where the client has chosen the address. */
static bool is_owner_asked(const struct session *session, const struct address *to)
{
	return is_asked(session, to) && (!session_follows_client(session) || !address_equal(to, &session->destination));
}

/* The first owner as the steering programs have seen it, or STEER_NO_OWNER. */
static uint32_t first_of_steering(const struct session *session)
{
	const struct steer_state *state = session->worker->engine->steer.maps.state;

	if (session->connecting.aim != ROUTE_HTTPS || !state)
		return STEER_NO_OWNER;
	return __atomic_load_n(&state->owners[STEER_HTTPS].first, __ATOMIC_RELAXED);
}

/* Sets the first owner, unless it is known already, and returns it. */
static uint32_t learn(struct steer_owners *owners, uint32_t first)
{
	uint32_t known = STEER_NO_OWNER;

	__atomic_compare_exchange_n(&owners->first, &known, first, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return known == STEER_NO_OWNER ? first : known;
}

/* The first one in the order of the backend's addresses; but one that is named before others. */
static uint32_t first_at_backend(const struct listener_asker *asker, const struct endpoint *backend,
				 const struct steer_owners *owners)
{
	uint32_t first = STEER_NO_OWNER;
	struct listener_owner owner;

	for (unsigned int i = 0; i < backend->count; i++) {
		if (backend->addresses[i].sa.sa_family == AF_UNIX ||
		    listener_owner_at(asker, NULL, &backend->addresses[i], &owner) || !owner.found)
			continue;
		if (owners_has_named(owners, owner.uid))
			return owner.uid;
		if (first == STEER_NO_OWNER)
			first = owner.uid;
	}
	return first;
}

static bool is_right(const struct session *session, uint32_t uid)
{
	struct steer_owners *owners = &session->configuration->owners.of[session->connecting.aim];
	uint32_t first;

	if (session->connecting.aim == ROUTE_ACME)
		return owners_has_named(owners, uid);
	first = __atomic_load_n(&owners->first, __ATOMIC_RELAXED);
	if (first == STEER_NO_OWNER) {
		first = first_of_steering(session);
		if (first == STEER_NO_OWNER)
			first = first_at_backend(asker_of(session), session_backend(session), owners);
		first = learn(owners, first);
		atomic_store(&session->worker->engine->shared->first_owners[session->connecting.aim], first);
	}
	return first == uid || owners_has_named(owners, uid);
}

/*
 * Where the worker keeps which listener of the right owner it has seen there; NULL: it asks each time. It does for ACME
 * clients, which come and go: one that serves one connection after the other must not get one that is of no use.
 */
static uint64_t *seen_at(const struct session *session)
{
	unsigned int address = session->connecting.address;

	if (session->connecting.aim == ROUTE_ACME || session_follows_client(session) ||
	    address >= ENDPOINT_ADDRESSES_MAX)
		return NULL;
	return &session->worker->listeners[session->connecting.aim][address];
}

static int refuse_stranger(struct session *session, uint32_t uid)
{
	struct worker *worker = session->worker;
	struct backend_stranger *stranger = &worker->engine->shared->strangers[session->connecting.aim];

	worker->counters.owner_refused++;
	atomic_store(&stranger->uid, uid);
	if (atomic_fetch_add(&stranger->count, 1) == 0)
		worker_answered(worker);
	return -BACKEND_STRANGER;
}

int backend_owner_expect(struct session *session, const struct address *to)
{
	const uint64_t *seen = seen_at(session);
	struct listener_owner owner;
	int error;

	session->connecting.listener = 0;
	if (!is_owner_asked(session, to))
		return 0;
	if (seen && *seen) {
		session->connecting.listener = *seen;
		return 0;
	}
	error = listener_owner_at(asker_of(session), NULL, to, &owner);
	if (error || !owner.found)
		return error;
	if (is_right(session, owner.uid))
		session->connecting.listener = owner.number;
	else if (address_is_loopback(to)) /* another address may be another machine's */
		return refuse_stranger(session, owner.uid);
	return 0;
}

int backend_owner_verify(struct session *session, const struct address *to)
{
	struct address from = {.len = sizeof(from.in6)};
	uint64_t *seen = seen_at(session);
	struct listener_owner owner;
	bool right;
	int error;

	if (!is_asked(session, to))
		return 0;
	if (getsockname(session->sides[BACKEND].fd, &from.sa, &from.len))
		return -errno;
	error = listener_owner_at(asker_of(session), &from, to, &owner);
	if (error)
		return error;
	if (owner.peer == STEER_PEER_CROSSED) {
		refuse_stranger(session, owner.peer_uid);
		return -BACKEND_REPLACED; /* another port of ours may be free of that */
	}
	if (!is_owner_asked(session, to))
		return 0;
	right = owner.found && is_right(session, owner.uid);
	if (right && owner.number == session->connecting.listener) {
		if (seen)
			*seen = owner.number;
		return 0;
	}
	if (seen)
		*seen = 0;
	/*
	 * On another machine, or redirected: the administrator has decided that. Or it has gone. But a stranger's
	 * listener may have taken the connection by a SYN cookie, so that there is no peer until we send; its address
	 * is this machine's, and so is ours then.
	 */
	if (owner.peer == STEER_PEER_NONE &&
	    (right || !owner.found || !(address_is_loopback(to) || address_same_host(&from, to))))
		return 0;
	return owner.found && !right ? refuse_stranger(session, owner.uid) : -BACKEND_REPLACED;
}

bool backend_owner_may_be(const struct session *session, const struct listening *listening)
{
	/* Where the program could be loaded, users have the numbers that the kernel uses. */
	return !is_owner_asked(session, &listening->address) || is_right(session, listening->uid);
}

/* --- the main thread's side --- */

struct backend_owners backend_owners_after(const struct engine *engine, const struct options *old,
					   const struct options *new)
{
	struct backend_owners owners = owners_of_backends(new);

	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++) {
		struct steer_owners *of = &owners.of[route];

		if (old && options_same_endpoint(&old->backends[route], &new->backends[route]) &&
		    owners_same_choice(old, new, route))
			of->first = atomic_load(&engine->shared->first_owners[route]);
		if (owners.asked[route] && route != ROUTE_ACME && engine->steer.asker.program != NO_DESCRIPTOR)
			learn(of, first_at_backend(&engine->steer.asker, &new->backends[route], of));
	}
	return owners;
}

void backend_owners_in_force(struct engine *engine, const struct backend_owners *owners)
{
	engine->owners = *owners;
	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++)
		atomic_store(&engine->shared->first_owners[route], owners->of[route].first);
}

static void log_stranger(struct engine *engine, const struct endpoint *backend, enum route route, uint32_t uid)
{
	struct listening listeners[LISTENERS_LOOKED_AT];
	struct address at = backend->addresses[0]; /* if it is gone already */
	int count;

	if (strangers_is_known(&engine->steer.tracker.strangers, route, uid)) /* clients come as often as they like */
		return;
	count = listening_on(address_port(&backend->addresses[0]), listeners, LISTENERS_LOOKED_AT);
	for (int i = 0; i < count && i < LISTENERS_LOOKED_AT; i++)
		if (listeners[i].uid == uid)
			at = listeners[i].address;
	strangers_note(&engine->steer.tracker.strangers, route, &at, uid);
}

void backend_owner_log(struct engine *engine, const struct options *options)
{
	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++) {
		struct backend_stranger *stranger = &engine->shared->strangers[route];

		if (atomic_load(&stranger->count) && atomic_exchange(&stranger->count, 0) &&
		    options->backends[route].count)
			log_stranger(engine, &options->backends[route], route, atomic_load(&stranger->uid));
	}
}
