// SPDX-License-Identifier: BSD-2-Clause
/* Lists listeners, and compares them with the maps. Owns the programs that find them. Main thread. */
#include "steering/listeners.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "base/sentence.h"
#include "steering/endpoint.h"
#include "system/bpf.h"
#include "system/listening.h"

void listeners_open(struct listener_tracker *tracker, const struct steer_plan *plan, const struct steer_maps *maps,
		    uint64_t netns_cookie)
{
	struct sentence why;
	int error;

	tracker->plan = plan;
	tracker->maps = maps;
	error = listener_finder_open(&tracker->finder, netns_cookie, maps->acme_listeners, maps->https_listeners);
	if (!error)
		return;
	bpf_explain(error, "loading the programs that find listeners", &why);
	log_warn("cannot track listeners that already exist: %s", why.text);
}

void listeners_close(struct listener_tracker *tracker)
{
	listener_finder_close(&tracker->finder);
}

static int map_of(const struct listener_tracker *tracker, enum steer_kind kind)
{
	return kind == STEER_ACME ? tracker->maps->acme_listeners : tracker->maps->https_listeners;
}

static unsigned int port_of(const struct listener_tracker *tracker, enum steer_kind kind)
{
	return kind == STEER_ACME ? tracker->plan->acme_port : tracker->plan->https_port;
}

/* Would a connection to the backend of this kind reach the listener? */
static bool is_reached(const struct listener_tracker *tracker, enum steer_kind kind, const struct listening *listening)
{
	struct address plain = address_unmapped(&listening->address);
	struct steer_endpoint at = steer_endpoint_from(&plain);
	bool is_dual = listening->dual_stack || !listening->cookie; /* unknown: its owner decides */
	struct steer_named named;

	if (kind == STEER_ACME &&
	    tracker->maps->state->acme_port) /* any address, as kinds_of() in bpf/arrivals.bpf.h */
		return true;
	if (bpf_map_lookup_elem(tracker->maps->named, &at, &named))
		return false;
	return (named.kinds | (is_dual ? named.if_dual : 0)) & 1U << kind;
}

struct wanted {
	const struct listener_tracker *tracker;
	enum steer_kind kind;
};

static bool is_roots(void *context, const struct listening *listening)
{
	const struct wanted *wanted = context;

	return listening->uid == 0 && is_reached(wanted->tracker, wanted->kind, listening);
}

static bool is_accepted(void *context, const struct listening *listening)
{
	const struct wanted *wanted = context;

	return is_reached(wanted->tracker, wanted->kind, listening) &&
	       owners_accept(wanted->tracker->maps->state, wanted->kind, listening->uid);
}

static bool is_refused(void *context, const struct listening *listening)
{
	const struct wanted *wanted = context;

	return is_reached(wanted->tracker, wanted->kind, listening) &&
	       !owners_accept(wanted->tracker->maps->state, wanted->kind, listening->uid);
}

static void note_refused(struct wanted *wanted, struct strangers *log)
{
	enum route route = wanted->kind == STEER_ACME ? ROUTE_ACME : ROUTE_HTTPS;
	struct listening refused[STRANGERS_NAMED];
	int count =
		listening_wanted(port_of(wanted->tracker, wanted->kind), is_refused, wanted, refused, STRANGERS_NAMED);

	for (int i = 0; i < count && i < STRANGERS_NAMED; i++)
		strangers_note(log, route, &refused[i].address, refused[i].uid);
}

/*
 * Lists the listeners of a kind, at most STEER_LISTENERS. Returns how many there are, which may be more, or -errno.
 * Logs those of other owners once, if `log`.
 */
static int list_kind(const struct listener_tracker *tracker, enum steer_kind kind,
		     struct listening listening[STEER_LISTENERS], struct strangers *log)
{
	struct wanted wanted = {.tracker = tracker, .kind = kind};
	unsigned int port = port_of(tracker, kind);
	int count;

	/* The kernel lists them in any order: root's counts as the first. */
	if (listening_wanted(port, is_roots, &wanted, listening, STEER_LISTENERS) > 0)
		owners_accept(tracker->maps->state, kind, 0);
	count = listening_wanted(port, is_accepted, &wanted, listening, STEER_LISTENERS);
	if (log)
		note_refused(&wanted, log);
	return count;
}

/* Lists the cookies of tracked listeners; returns their number. */
static unsigned int list_tracked(int map, uint64_t cookies[STEER_LISTENERS])
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		count += bpf_map_lookup_elem(map, &i, &cookies[count]) == 0;
	return count;
}

static bool is_tracked(uint64_t cookie, const uint64_t *cookies, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (cookies[i] == cookie)
			return true;
	return false;
}

/*
 * Moves untracked listeners to the front; returns their number. Without cookies (no sock_diag) only the number is
 * right.
 */
static unsigned int find_untracked(int map, struct listening *listening, unsigned int count)
{
	uint64_t cookies[STEER_LISTENERS];
	unsigned int tracked = list_tracked(map, cookies), untracked = 0;

	if (count && !listening[0].cookie)
		return tracked < count ? count - tracked : 0;
	for (unsigned int i = 0; i < count; i++) {
		struct listening this = listening[i];

		if (is_tracked(this.cookie, cookies, tracked))
			continue;
		listening[i] = listening[untracked];
		listening[untracked++] = this;
	}
	return untracked;
}

static void sum_up(const struct listening *listening, int count, unsigned int untracked, struct listeners *out)
{
	*out = (struct listeners){.count = (unsigned int)count, .untracked = untracked};
	if (count > STEER_LISTENERS) /* they do not fit into the map */
		out->untracked += (unsigned int)count - STEER_LISTENERS;
	if (count)
		out->first = listening[0].address;
}

int listeners_look(const struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners)
{
	struct listening listening[STEER_LISTENERS] = {0};
	int count = list_kind(tracker, kind, listening, NULL);
	unsigned int listed = count < STEER_LISTENERS ? (unsigned int)count : STEER_LISTENERS;

	if (count < 0)
		return count;
	sum_up(listening, count, find_untracked(map_of(tracker, kind), listening, listed), listeners);
	return 0;
}

static int find_once(struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners)
{
	struct listening listening[STEER_LISTENERS] = {0};
	int count = list_kind(tracker, kind, listening, &tracker->strangers), map = map_of(tracker, kind);
	unsigned int listed = count < STEER_LISTENERS ? (unsigned int)count : STEER_LISTENERS, untracked;

	if (count < 0)
		return count;
	/* sock_ops has tracked listeners that came after it was attached. */
	untracked = find_untracked(map, listening, listed);
	if (untracked)
		listener_finder_keep(&tracker->finder, kind, listening, listening[0].cookie ? untracked : listed);
	sum_up(listening, count, find_untracked(map, listening, listed), listeners);
	return 0;
}

int listeners_find(struct listener_tracker *tracker, enum steer_kind kind, struct listeners *listeners)
{
	int error = find_once(tracker, kind, listeners);

	if (error || kind != STEER_HTTPS || tracker->maps->state->owners[kind].learns)
		return error;
	owners_learn(tracker->maps->state, kind);
	/* Those that came in between, when no owner was the first. */
	return find_once(tracker, kind, listeners);
}

bool listeners_has_tracked(const struct listener_tracker *tracker, enum steer_kind kind)
{
	uint64_t cookies[STEER_LISTENERS];

	return list_tracked(map_of(tracker, kind), cookies) > 0;
}

void listeners_forget(struct listener_tracker *tracker, enum steer_kind kind)
{
	int map = map_of(tracker, kind);

	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		bpf_map_delete_elem(map, &i);
}

const char *listeners_why_untracked(const struct listener_tracker *tracker, enum steer_kind kind)
{
	if (tracker->finder.looks_up)
		return kind == STEER_ACME ? "possibly MPTCP" : "possibly MPTCP, or bound to a device";
	return kind == STEER_ACME
		       ? "possibly MPTCP, or of a process outside of alpnbpf's PID namespace"
		       : "possibly MPTCP, bound to a device, or of a process outside of alpnbpf's PID namespace";
}
