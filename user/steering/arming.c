// SPDX-License-Identifier: BSD-2-Clause
/*
 * Follows whether the ACME client listens: finds listeners that existed before sock_ops was attached, and logs changes.
 * Owns the reader of the ring of arrivals. Main thread.
 */
#include "steering/arming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "base/timer.h"
#include "steering/bypass.h"
#include "steering/endpoint.h"
#include "system/listening.h"
#include "system/ports.h"
#include "system/process.h"
#include "system/user_number.h"

void arming_open(struct arming *arming, const struct steer_plan *plan, const struct steer_maps *maps,
		 struct listener_tracker *tracker, struct hello_watch *watch)
{
	*arming = (struct arming){.plan = plan, .maps = maps, .tracker = tracker, .watch = watch};
}

int arming_fd(const struct arming *arming)
{
	return arming->arrivals ? ring_buffer__epoll_fd(arming->arrivals) : NO_DESCRIPTOR;
}

static uint64_t untracked_listeners(const struct arming *arming)
{
	return __atomic_load_n(&arming->maps->state->untracked_listeners, __ATOMIC_SEQ_CST);
}

static void set_untracked_gone(struct arming *arming, uint64_t gone)
{
	__atomic_store_n(&arming->maps->state->untracked_gone, gone, __ATOMIC_SEQ_CST);
}

bool arming_is_armed(const struct arming *arming)
{
	const struct steer_state *state;

	if (!arming->maps || !arming->arrivals)
		return true;
	state = arming->maps->state;
	return untracked_listeners(arming) != state->untracked_gone ||
	       listeners_has_tracked(arming->tracker, STEER_ACME);
}

const char *arming_reason(const struct arming *arming)
{
	if (!arming_is_armed(arming))
		return NULL;
	if (!arming->maps)
		return "every connection goes through alpnbpf";
	if (arming->plan->why_always)
		return arming->plan->why_always;
	return *arming->armed_by ? arming->armed_by : "a listener on the ACME port";
}

/* The listener's user is visible without capabilities; its process is not. */
static void name_user(struct arming *arming, const struct address *at, const char *name)
{
	struct listening listeners[STEER_LISTENERS];
	int count = listening_on(arming->plan->acme_port, listeners, STEER_LISTENERS);

	snprintf(arming->armed_by, sizeof(arming->armed_by), "%.120s", name);
	for (int i = 0; i < count && i < STEER_LISTENERS; i++)
		if (address_equal(&listeners[i].address, at))
			snprintf(arming->armed_by, sizeof(arming->armed_by), "%.120s, of uid %u", name,
				 listeners[i].uid);
}

static void note_armed(struct arming *arming)
{
	hello_watch_follow(arming->watch, true); /* before the log says so */
	arming->was_armed = true;
	arming->armed_at = monotonic_us();
	arming->armed_by[0] = '\0';
}

static void note_listener(struct arming *arming, const struct address *at, const char *name, bool tracked)
{
	char holder[PROCESS_TEXT_MAX];
	size_t length;

	if (port_find_holder(at, holder, sizeof(holder)))
		snprintf(arming->armed_by, sizeof(arming->armed_by), "%.60s at %.120s", holder, name);
	else
		name_user(arming, at, name);
	length = strlen(arming->armed_by);
	if (!tracked)
		snprintf(arming->armed_by + length, sizeof(arming->armed_by) - length, "; it cannot be tracked (%s)",
			 listeners_why_untracked(arming->tracker, STEER_ACME));
}

static void log_arrival(struct arming *arming, const struct address *at, bool tracked)
{
	char name[ADDRESS_TEXT_MAX], lag[192] = "";

	if (arming->was_armed || !arming_is_armed(arming)) /* or the listener is gone already */
		return;
	address_format(at, name, sizeof(name));
	note_armed(arming);
	note_listener(arming, at, name, tracked);
	if (!tracked)
		snprintf(lag, sizeof(lag), " (disarming may lag by a second: this listener cannot be tracked; %s)",
			 listeners_why_untracked(arming->tracker, STEER_ACME));
	log_info("armed: the ACME client listens on %s; inspecting new connections%s", name, lag);
}

static int arrival_seen(void *context, void *data, size_t size)
{
	const struct steer_arrival *arrival = data;
	struct arming *arming = context;
	struct address at;

	if (size < sizeof(*arrival))
		return 0;
	at = steer_endpoint_address(&arrival->at, 0);
	if (arrival->is_stranger)
		strangers_note(&arming->tracker->strangers, (enum steer_kind)arrival->kind, &at,
			       user_from_kernel(arrival->uid));
	else if (arrival->kind == STEER_ACME)
		log_arrival(arming, &at, arrival->tracked);
	else
		bypass_note_untracked(arming->tracker, &at);
	return 0;
}

/* Finds listeners that existed before: see struct steer_state. */
static int find_acme_listeners(struct arming *arming)
{
	struct listeners found;
	int error = listeners_find(arming->tracker, STEER_ACME, &found);

	if (error || !found.count)
		return error;
	__atomic_fetch_add(&arming->maps->state->found, 1, __ATOMIC_SEQ_CST);
	if (found.untracked)
		set_untracked_gone(arming, untracked_listeners(arming) - 1);
	log_arrival(arming, &found.first, !found.untracked);
	return 0;
}

int arming_start(struct arming *arming)
{
	arming->arrivals = ring_buffer__new(arming->maps->arrivals, arrival_seen, arming, NULL);
	return arming->arrivals ? find_acme_listeners(arming) : -errno;
}

int arming_find_anew(struct arming *arming)
{
	/* sock_ops knows the new port; a listener that it has seen since is found again. */
	listeners_forget(arming->tracker, STEER_ACME);
	/* The untracked listeners were on the old port, and so was the one that armed us. */
	set_untracked_gone(arming, untracked_listeners(arming));
	if (arming->was_armed)
		log_info("disarmed: the ACME port has changed");
	arming->was_armed = false;
	return find_acme_listeners(arming);
}

void arming_close(struct arming *arming)
{
	if (arming->arrivals)
		ring_buffer__free(arming->arrivals);
	*arming = (struct arming){0};
}

/* Have the untracked listeners gone? See struct steer_state. */
static void look_for_untracked(struct arming *arming)
{
	uint64_t untracked = untracked_listeners(arming);
	struct listeners now;

	if (untracked != arming->maps->state->untracked_gone &&
	    listeners_look(arming->tracker, STEER_ACME, &now) == 0 && now.count == 0)
		set_untracked_gone(arming, untracked);
}

bool arming_look(struct arming *arming)
{
	const struct hello_watch *watch = arming->watch;

	if (!arming->maps)
		return false;
	hello_watch_look(arming->watch);
	if (!arming->arrivals) {
		hello_watch_follow(arming->watch, true); /* always armed: tries again if attaching failed before */
		return watch->is_ready && !watch->has_ended;
	}
	look_for_untracked(arming);
	if (arming->was_armed && !arming_is_armed(arming)) {
		arming->was_armed = false;
		log_info("disarmed: nothing listens on port %u any more", arming->plan->acme_port);
	}
	ring_buffer__consume(arming->arrivals);
	if (!arming->was_armed && arming_is_armed(arming)) { /* the ring was full */
		note_armed(arming);
		log_info("armed: the ACME client listens on port %u; inspecting new connections",
			 arming->plan->acme_port);
	}
	hello_watch_follow(arming->watch, arming->was_armed);
	return arming->was_armed || hello_watch_is_attached(watch);
}
