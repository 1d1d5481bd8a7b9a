// SPDX-License-Identifier: BSD-2-Clause
/*
 * Follows whether the ACME client listens: finds listeners that existed before sock_ops was attached, and logs changes.
 * Owns the reader of the ring of arrivals. What a listener costs the main thread is bounded, however often it comes:
 * it looks every 20 ms at most, logs one line a second, and searches for its process every ten. Main thread.
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

#define LOOK_US       (1000 * US_PER_MS) /* how soon the log tells of a closed listener; steering reacts at once */
#define UNTRACKED_US  (200 * US_PER_MS)  /* between two listings of all listeners of the port */
#define REST_US       (20 * US_PER_MS)   /* after an arrival: more of them are looked at together */
#define LINES_AT_ONCE 20                 /* "armed" */
#define LINE_MS       1000
#define SEARCHES      3 /* for the process of a listener, at once */
#define SEARCH_MS     10000

void arming_open(struct arming *arming, const struct steer_plan *plan, const struct steer_maps *maps,
		 struct listener_tracker *tracker, struct hello_watch *watch)
{
	*arming = (struct arming){.plan = plan, .maps = maps, .tracker = tracker, .watch = watch};
}

int arming_fd(const struct arming *arming)
{
	bool rests = monotonic_us() < arming->rest_until;

	return arming->arrivals && !rests ? ring_buffer__epoll_fd(arming->arrivals) : NO_DESCRIPTOR;
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

/* --- the log --- */

/* A search of /proc, which may take 100 ms of the main thread's time: it is done a few times, then seldom. */
static bool find_process(const struct address *at, char *out, size_t size)
{
	static struct log_limit limit;
	unsigned long suppressed;

	return log_limit_has_room(&limit, SEARCHES, SEARCH_MS) &&
	       log_limit_burst(&limit, SEARCHES, SEARCH_MS, &suppressed) && port_find_holder(at, out, size);
}

/* The listener's user is visible without capabilities; its process is not. */
static void name_user(struct arming *arming, const char *name)
{
	struct listening listeners[STEER_LISTENERS];
	int count = listening_on(arming->plan->acme_port, listeners, STEER_LISTENERS);

	for (int i = 0; i < count && i < STEER_LISTENERS; i++)
		if (address_equal(&listeners[i].address, &arming->listener))
			snprintf(arming->armed_by, sizeof(arming->armed_by), "%.120s, of uid %u", name,
				 listeners[i].uid);
}

static void name_listener(struct arming *arming, const char *name)
{
	char holder[PROCESS_TEXT_MAX];
	size_t length;

	snprintf(arming->armed_by, sizeof(arming->armed_by), "%.120s", name);
	if (find_process(&arming->listener, holder, sizeof(holder)))
		snprintf(arming->armed_by, sizeof(arming->armed_by), "%.60s at %.120s", holder, name);
	else
		name_user(arming, name);
	length = strlen(arming->armed_by);
	if (!arming->is_tracked)
		snprintf(arming->armed_by + length, sizeof(arming->armed_by) - length, "; it cannot be tracked (%s)",
			 listeners_why_untracked(arming->tracker, STEER_ACME));
}

/* Listeners may come and go thousands of times a second: each is logged as long as they are few. */
static void log_armed(struct arming *arming)
{
	char name[ADDRESS_TEXT_MAX], lag[192] = "", more[96] = "";
	static struct log_limit limit;
	unsigned long suppressed;

	if (!log_limit_has_room(&limit, LINES_AT_ONCE, LINE_MS) ||
	    !log_limit_burst(&limit, LINES_AT_ONCE, LINE_MS, &suppressed))
		return;
	if (arming->not_logged > 1)
		snprintf(more, sizeof(more), " (armed %lu more times since the last such line)",
			 arming->not_logged - 1);
	arming->is_logged = true;
	arming->not_logged = 0;
	if (!arming->listener.len) {
		log_info("armed: the ACME client listens on port %u; inspecting new connections%s",
			 arming->plan->acme_port, more);
		return;
	}
	address_format(&arming->listener, name, sizeof(name));
	name_listener(arming, name);
	if (!arming->is_tracked)
		snprintf(lag, sizeof(lag), " (disarming may lag by a second: this listener cannot be tracked; %s)",
			 listeners_why_untracked(arming->tracker, STEER_ACME));
	log_info("armed: the ACME client listens on %s; inspecting new connections%s%s", name, lag, more);
}

/* --- changes --- */

/* By the listener at this address; NULL: it is not known. */
static void become_armed(struct arming *arming, const struct address *at, bool tracked)
{
	if (arming->was_armed || !arming_is_armed(arming)) /* or the listener is gone already */
		return;
	hello_watch_follow(arming->watch, true); /* before the log says so */
	arming->was_armed = true;
	arming->armed_at = monotonic_us();
	arming->listener = at ? *at : (struct address){0};
	arming->is_tracked = tracked;
	arming->armed_by[0] = '\0';
	if (at)
		address_format(at, arming->armed_by, sizeof(arming->armed_by));
	arming->not_logged++;
	log_armed(arming);
}

static void become_disarmed(struct arming *arming, const char *why)
{
	arming->was_armed = false;
	hello_watch_follow(arming->watch, false); /* it may be armed anew at once */
	if (arming->is_logged)
		log_info("disarmed: %s", why);
	arming->is_logged = false;
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
		strangers_note(&arming->tracker->strangers, arrival->kind == STEER_ACME ? ROUTE_ACME : ROUTE_HTTPS, &at,
			       user_from_kernel(arrival->uid));
	else if (arrival->kind == STEER_ACME)
		become_armed(arming, &at, arrival->tracked);
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
	become_armed(arming, &found.first, !found.untracked);
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
		become_disarmed(arming, "the ACME port has changed");
	return find_acme_listeners(arming);
}

void arming_let_go(struct arming *arming)
{
	if (arming->arrivals)
		ring_buffer__free(arming->arrivals);
	arming->arrivals = NULL;
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
	uint64_t untracked = untracked_listeners(arming), now = monotonic_us();
	struct listeners found;

	if (untracked == arming->maps->state->untracked_gone || now < arming->untracked_next)
		return;
	arming->untracked_next = now + UNTRACKED_US;
	if (listeners_look(arming->tracker, STEER_ACME, &found) == 0 && found.count == 0)
		set_untracked_gone(arming, untracked);
}

static void look_for_changes(struct arming *arming)
{
	char why[64];

	look_for_untracked(arming);
	if (arming->was_armed && !arming_is_armed(arming)) {
		snprintf(why, sizeof(why), "nothing listens on port %u any more", arming->plan->acme_port);
		become_disarmed(arming, why);
	}
	if (ring_buffer__consume(arming->arrivals) > 0)
		arming->rest_until = monotonic_us() + REST_US;
	become_armed(arming, NULL, true); /* the ring was full */
	if (arming->was_armed && !arming->is_logged)
		log_armed(arming);
}

uint64_t arming_look(struct arming *arming)
{
	const struct hello_watch *watch = arming->watch;
	uint64_t now = monotonic_us(), detach_at;

	if (!arming->maps)
		return UINT64_MAX;
	hello_watch_look(arming->watch);
	if (!arming->arrivals) {
		hello_watch_follow(arming->watch, true); /* always armed: tries again if attaching failed before */
		return watch->is_ready && !watch->has_ended ? now + LOOK_US : UINT64_MAX;
	}
	if (now < arming->rest_until)
		return arming->rest_until;
	look_for_changes(arming);
	hello_watch_follow(arming->watch, arming->was_armed);
	if (now < arming->rest_until)
		return arming->rest_until;
	detach_at = hello_watch_next(watch);
	return arming->was_armed || detach_at <= now /* takeovers are pending */ ? now + LOOK_US : detach_at;
}
