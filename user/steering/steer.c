// SPDX-License-Identifier: BSD-2-Clause
/*
 * Steering as a whole: opens its parts in order, falls back if this machine does not allow everything that was asked
 * for, logs that, and closes everything. Main thread.
 */
#include "steering/steer.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "steering/bypass.h"
#include "steering/cgroup_programs.h"
#include "steering/skeleton.h"
#include "system/bpf.h"
#include "system/bpf_memory.h"

void steer_clear(struct steer *steer)
{
	*steer = (struct steer){.maps = STEER_NO_MAPS, .watch = HELLO_WATCH_CLOSED, .asker = LISTENER_ASKER_CLOSED};
}

static int load_or_do_without_watch(struct steer *steer, const struct options *options)
{
	int error = programs_load(&steer->programs, &steer->maps, &steer->plan, !steer->watch.why_not);
	struct sentence why;

	if (!error || steer->watch.why_not || options->inspect == INSPECT_WATCH)
		return error;
	/* The only program that older kernels may refuse. */
	bpf_explain(error, "loading the watch program", &why);
	programs_unload(&steer->programs);
	error = programs_load(&steer->programs, &steer->maps, &steer->plan, false);
	if (!error)
		hello_watch_do_without(&steer->watch, why.text);
	return error;
}

/* Falls back to a mode without a cgroup, if the options allow that; else -errno and why. */
static int settle_for_less(struct steer *steer, const struct options *options, int error, struct sentence *why)
{
	if (options->inspect == INSPECT_WATCH) {
		if (strncmp(why->text, "--", 2) != 0)
			sentence_set(why, "--inspect watch: %s; use auto or steer", why->text);
		return error;
	}
	if (options->client_address == CLIENT_ADDRESS_PEERNAME)
		return sentence_error(why, error, "--client-address peername: %s; use none or transparent", why->text);
	steer->plan.peername = false;
	steer->watch.why_not = "the cgroup cannot be used";
	if (!steer->own.by_sock_ops && !steer->plan.why_always) {
		log_warn(
			"cannot detect when the ACME client listens: %s; every connection goes through alpnbpf, all the time",
			why->text);
		steer->plan.why_always = "the cgroup cannot be used";
		steer->plan.bypass = false;
	} else {
		log_warn("cannot show the web server its clients' addresses: %s; it will see alpnbpf's instead",
			 why->text);
	}
	return 0;
}

/* Finds existing listeners, unless always armed. */
static int start_arming(struct steer *steer)
{
	int error;

	if (steer->plan.why_always) {
		steer->maps.state->always = 1;
		return 0;
	}
	listeners_open(&steer->tracker, &steer->plan, &steer->maps, steer->programs.netns_cookie);
	error = arming_start(&steer->arming);
	if (!error && steer->plan.bypass)
		error = bypass_find(&steer->tracker);
	return error;
}

/* Sets up everything except sk_lookup. */
static int set_up_steering(struct steer *steer, const struct options *options, struct sentence *why)
{
	int error = load_or_do_without_watch(steer, options);

	if (error)
		return bpf_explain(error, "loading the steering programs", why);
	error = own_connections_open(&steer->own, &steer->maps, steer->plan.workers);
	if (error)
		return sentence_error(why, error, "cannot set up steering: %s", strerror(-error));
	error = cgroup_programs_attach(&steer->programs, &steer->plan, &steer->maps, &steer->own, &steer->watch,
				       options, why);
	if (error)
		error = settle_for_less(steer, options, error, why);
	if (error)
		return error;
	steer->own.are_tracked = steer->plan.in_place || steer->plan.peername;
	arming_open(&steer->arming, &steer->plan, &steer->maps, &steer->tracker, &steer->watch);
	error = maps_fill(&steer->maps, &steer->plan, NULL, options);
	if (error)
		return bpf_explain(error, "filling the steering maps", why);
	error = start_arming(steer);
	return error ? bpf_explain(error, "looking for listeners", why) : 0;
}

/* Steering alone: not what tells whose a listener is. */
static void close_steering(struct steer *steer)
{
	steer_stop(steer);
	hello_watch_close(&steer->watch);
	arming_close(&steer->arming);
	listeners_close(&steer->tracker);
	own_connections_close(&steer->own);
	programs_unload(&steer->programs);
}

static void open_asker(struct steer *steer, const struct options *options)
{
	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++)
		if (owners_are_asked(options, route)) {
			listener_asker_open(&steer->asker);
			return;
		}
}

int steer_open(struct steer *steer, const struct options *options, unsigned int workers, unsigned int max_sessions,
	       struct sentence *why)
{
	struct listener_asker asker;
	bool asked;
	int error;

	steer_clear(steer);
	steer->plan = plan_make(options, workers, max_sessions);
	steer->watch.why_not = plan_why_no_watch(options);
	if (options->inspect == INSPECT_WATCH && steer->watch.why_not)
		return sentence_error(why, -EINVAL, "--inspect watch: %s; use auto or steer", steer->watch.why_not);
	open_asker(steer, options);
	if (plan_is_empty(&steer->plan))
		return 0;
	error = set_up_steering(steer, options, why);
	if (!error)
		return 0;
	asked = steer->plan.in_place || options->client_address == CLIENT_ADDRESS_PEERNAME ||
		options->inspect == INSPECT_WATCH;
	if (asked) {
		steer_close(steer);
		return error;
	}
	asker = steer->asker;
	close_steering(steer);
	steer_clear(steer);
	steer->asker = asker;
	log_info("no bypass: %s; all connections go through alpnbpf", why->text);
	return 0;
}

int steer_set_private(struct steer *steer, unsigned int worker, enum steer_family family, int fd)
{
	uint32_t key = STEER_PRIVATE(worker, family);
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(steer->maps.private_listeners, &key, &value, BPF_ANY) ? -errno : 0;
}

int steer_start(struct steer *steer, struct sentence *why)
{
	int error;

	if (!steer->plan.in_place && !steer->plan.bypass)
		return 0;
	error = programs_attach_lookup(&steer->programs, why);
	if (!error)
		hello_watch_follow(&steer->watch, arming_is_armed(&steer->arming));
	return error;
}

void steer_stop(struct steer *steer)
{
	hello_watch_stop(&steer->watch);
	programs_detach_lookup(&steer->programs);
}

unsigned int steer_pending(const struct steer *steer)
{
	unsigned int pending;

	if (!steer->maps.state)
		return 0;
	pending = steer_takeovers_pending(steer->maps.state);
	for (unsigned int i = 0; steer->plan.in_place && i < STEER_PRIVATE(steer->plan.workers, STEER_V4); i++)
		pending += programs_count_pending(&steer->programs, i);
	return pending;
}

void steer_close(struct steer *steer)
{
	close_steering(steer);
	listener_asker_close(&steer->asker);
	steer_clear(steer);
}

int steer_read_only(struct steer *steer)
{
	const struct alpnbpf_steer *skel = steer->programs.skel;
	int error = bpf_memory_object_read_only(skel ? skel->obj : NULL);

	if (!error)
		error = listener_finder_read_only(&steer->tracker.finder);
	if (!error)
		error = listener_asker_read_only(&steer->asker);
	if (!error)
		arming_let_go(&steer->arming);
	return error;
}
