// SPDX-License-Identifier: BSD-2-Clause
/*
 * Whether somebody listens on the ACME port, as user space sees it: finds the listeners that were there before
 * sock_ops, and tells what changes. The kernel needs none of this to steer, but for those listeners.
 */
#include "steering/arming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "system/bpf.h"
#include "system/ports.h"
#include "system/process.h"
#include "steering/listeners.h"
#include "steering/watch.h"
#include "system/listening.h"
#include "base/log.h"
#include "base/timer.h"

int arming_fd(const struct steer *steer)
{
	return steer->arrivals ? ring_buffer__epoll_fd(steer->arrivals) : -1;
}

static bool has_untracked(const struct steer *steer)
{
	return __atomic_load_n(&steer->state->untracked_listeners, __ATOMIC_SEQ_CST) != steer->state->untracked_gone;
}

bool arming_is_armed(const struct steer *steer)
{
	uint64_t cookie;

	if (!steer->state || steer->state->always || has_untracked(steer))
		return true;
	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		if (bpf_map_lookup_elem(steer->acme_listeners, &i, &cookie) == 0)
			return true;
	return false;
}

const char *arming_reason(const struct steer *steer)
{
	if (!arming_is_armed(steer))
		return NULL;
	if (!steer->state)
		return "every connection goes through alpnbpf";
	if (steer->armed_always)
		return steer->armed_always;
	return *steer->armed_by ? steer->armed_by : "a listener on the ACME port";
}

static struct address address_of(const struct steer_endpoint *endpoint)
{
	struct address address = {.len = sizeof(address.in6)};

	address.in6.sin6_family = AF_INET6;
	address.in6.sin6_port = htons(endpoint->port);
	memcpy(&address.in6.sin6_addr, endpoint->addr, sizeof(endpoint->addr));
	return address_unmapped(&address);
}

static void name_endpoint(const struct steer_endpoint *endpoint, char *out, size_t size)
{
	struct address address = address_of(endpoint);

	address_format(&address, out, size);
}

/* Whose it is can be seen without rights, unlike which process. */
static void name_user(struct steer *steer, const struct address *address, const char *name)
{
	struct listening listeners[STEER_LISTENERS];
	int count = listening_on(steer->acme_port, listeners, STEER_LISTENERS);

	snprintf(steer->armed_by, sizeof(steer->armed_by), "%.120s", name);
	for (int i = 0; i < count && i < STEER_LISTENERS; i++)
		if (address_equal(&listeners[i].address, address) && listeners[i].uid_known)
			snprintf(steer->armed_by, sizeof(steer->armed_by), "%.120s, of uid %u", name, listeners[i].uid);
}

static void note_armed(struct steer *steer, const struct steer_endpoint *at, const char *name)
{
	struct address address;
	char holder[PROCESS_TEXT_MAX];

	hello_watch_follow(steer, true); /* before it is said that we are armed */
	steer->was_armed = true;
	steer->armed_at = monotonic_us();
	steer->armed_by[0] = '\0';
	if (!at)
		return;
	address = address_of(at);
	if (port_find_holder(&address, holder, sizeof(holder)))
		snprintf(steer->armed_by, sizeof(steer->armed_by), "%.60s at %.120s", holder, name);
	else
		name_user(steer, &address, name);
}

static void log_arrival(struct steer *steer, const struct steer_endpoint *at, bool tracked)
{
	char name[ADDRESS_TEXT_MAX], lag[160] = "";
	size_t length;

	if (steer->was_armed || !arming_is_armed(steer)) /* or it came and went */
		return;
	name_endpoint(at, name, sizeof(name));
	note_armed(steer, at, name);
	length = strlen(steer->armed_by);
	if (!tracked)
		snprintf(steer->armed_by + length, sizeof(steer->armed_by) - length, "; it cannot be tracked (%s)",
			 listeners_why_untracked(steer, STEER_ACME));
	if (!tracked)
		snprintf(lag, sizeof(lag),
			 ", up to a second longer than that (the kernel does not tell when it goes; %s)",
			 listeners_why_untracked(steer, STEER_ACME));
	log_info("armed: %s is listened on; new connections are looked into%s", name, lag);
}

/* A web server's listener without a slot: connections to it come through us. steer_mode() says so as long as it is
 * there. */
static void log_untracked_https(const struct steer *steer, const struct address *at)
{
	static struct log_limit limit;
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (log_limit_pass(&limit, &suppressed))
		log_warn("no bypass to %s, connections for it go through alpnbpf: its listener cannot be tracked (%s)",
			 address_format(at, name, sizeof(name)), listeners_why_untracked(steer, STEER_HTTPS));
}

static int arrival_seen(void *context, void *data, size_t size)
{
	const struct steer_arrival *arrival = data;
	struct address at;

	if (size < sizeof(*arrival))
		return 0;
	if (arrival->kind == STEER_ACME) {
		log_arrival(context, &arrival->at, arrival->tracked);
	} else {
		at = address_of(&arrival->at);
		log_untracked_https(context, &at);
	}
	return 0;
}

static int find_acme_listeners(struct steer *steer)
{
	struct steer_endpoint at;
	struct listeners found;
	int error = listeners_find(steer, STEER_ACME, &found);

	if (error || !found.count)
		return error;
	__atomic_fetch_add(&steer->state->found, 1, __ATOMIC_SEQ_CST);
	if (found.untracked)
		__atomic_store_n(&steer->state->untracked_gone,
				 __atomic_load_n(&steer->state->untracked_listeners, __ATOMIC_SEQ_CST) - 1,
				 __ATOMIC_SEQ_CST);
	at = steer_endpoint_from(&found.first);
	log_arrival(steer, &at, !found.untracked);
	return 0;
}

static int find_https_listeners(struct steer *steer)
{
	struct listeners found;
	int error = listeners_find(steer, STEER_HTTPS, &found);

	if (!error && found.untracked)
		log_untracked_https(steer, &found.first);
	return error;
}

/* Without it, listeners that were there before are untracked. */
static void open_finder(struct steer *steer)
{
	struct sentence why;
	int error = listener_finder_open(&steer->finder, steer->netns_cookie, steer->acme_listeners,
					 steer->https_listeners);

	if (!error)
		return;
	bpf_explain(error, "loading the programs that find listeners", &why);
	log_warn("listeners that were there before alpnbpf cannot be tracked: %s", why.text);
}

int arming_start(struct steer *steer, int ring)
{
	int error;

	steer->arrivals = ring_buffer__new(ring, arrival_seen, steer, NULL);
	if (!steer->arrivals)
		return -errno;
	open_finder(steer);
	error = find_acme_listeners(steer);
	if (!error && steer->bypass)
		error = find_https_listeners(steer);
	return error;
}

int arming_find_anew(struct steer *steer, enum steer_kind kind)
{
	/* sock_ops knows the new port by now; a listener that has come since is found again. */
	listeners_forget(steer, kind);
	if (kind == STEER_HTTPS)
		return find_https_listeners(steer);
	/* What was untracked was another port's, and so was the one that armed us. */
	__atomic_store_n(&steer->state->untracked_gone, steer->state->untracked_listeners, __ATOMIC_SEQ_CST);
	if (steer->was_armed)
		log_info("disarmed: the ACME port is another one now");
	steer->was_armed = false;
	return find_acme_listeners(steer);
}

void arming_stop(struct steer *steer)
{
	if (steer->arrivals)
		ring_buffer__free(steer->arrivals);
	steer->arrivals = NULL;
	listener_finder_close(&steer->finder);
}

/* Listeners that have no slot: see struct steer_state. */
static void look_for_untracked(struct steer *steer)
{
	uint64_t untracked = __atomic_load_n(&steer->state->untracked_listeners, __ATOMIC_SEQ_CST);
	struct listening listener;

	if (untracked != steer->state->untracked_gone && listening_on(steer->acme_port, &listener, 1) == 0)
		__atomic_store_n(&steer->state->untracked_gone, untracked, __ATOMIC_SEQ_CST);
}

bool arming_look(struct steer *steer)
{
	if (steer->watches)
		hello_watch_look(steer);
	if (!steer->arrivals) {
		hello_watch_follow(steer, true); /* always, if it did not succeed before */
		return steer->watches && !steer->watch_ended;
	}
	look_for_untracked(steer);
	if (steer->was_armed && !arming_is_armed(steer)) {
		steer->was_armed = false;
		log_info("disarmed: nobody listens on port %u any more", steer->acme_port);
	}
	ring_buffer__consume(steer->arrivals);
	if (!steer->was_armed && arming_is_armed(steer)) { /* the ring was full */
		note_armed(steer, NULL, NULL);
		log_info("armed: port %u is listened on; new connections are looked into", steer->acme_port);
	}
	hello_watch_follow(steer, steer->was_armed);
	return steer->was_armed || steer->watch;
}
