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

#include "system/ports.h"
#include "system/process.h"
#include "steering/watch.h"
#include "system/listening.h"
#include "base/log.h"
#include "base/timer.h"

#define KEEP_TRIES 2048 /* source ports tried to find one listener of many that share its address */

int arming_fd(const struct steer *steer)
{
	return steer->arrivals ? ring_buffer__epoll_fd(steer->arrivals) : -1;
}

static bool has_unwatched(const struct steer *steer)
{
	return __atomic_load_n(&steer->state->unwatched, __ATOMIC_SEQ_CST) != steer->state->missed;
}

bool arming_is_armed(const struct steer *steer)
{
	uint64_t cookie;

	if (!steer->state || steer->state->always || has_unwatched(steer))
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

static void log_arrival(struct steer *steer, const struct steer_endpoint *at, bool watched)
{
	char name[ADDRESS_TEXT_MAX];

	if (steer->was_armed || !arming_is_armed(steer)) /* or it came and went */
		return;
	name_endpoint(at, name, sizeof(name));
	note_armed(steer, at, name);
	log_info("armed: %s is listened on; new connections are looked into%s", name,
		 watched ? "" : ", up to a second longer than that (the kernel does not tell when it goes; MPTCP?)");
}

static int arrival_seen(void *context, void *data, size_t size)
{
	const struct steer_arrival *arrival = data;

	if (size >= sizeof(*arrival))
		log_arrival(context, &arrival->at, arrival->watched);
	return 0;
}

/* Would a connection to --https reach this listener? */
static bool may_be_https(const struct steer *steer, const struct address *listener)
{
	struct steer_endpoint at = steer_endpoint_from(listener);
	uint8_t present;

	at.port = 0;
	return address_is_wildcard(listener) || bpf_map_lookup_elem(steer->https_addresses, &at, &present) == 0;
}

/* An address that only a wildcard listener answers for: TEST-NET-2, and the discard prefix. */
static struct address beyond(const struct address *listener)
{
	struct address address = *listener;

	if (!address_is_wildcard(listener))
		return address;
	if (address.sa.sa_family == AF_INET)
		address.in.sin_addr.s_addr = htonl(0xc63364fe);
	else
		address.in6.sin6_addr = (struct in6_addr){.s6_addr = {[0] = 1, [15] = 1}};
	return address;
}

static bool is_kept(int map, uint64_t cookie)
{
	uint64_t kept;

	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		if (bpf_map_lookup_elem(map, &i, &kept) == 0 && kept == cookie)
			return true;
	return false;
}

static bool find_free(int map, uint32_t *slot)
{
	uint64_t kept;

	for (*slot = 0; *slot < STEER_LISTENERS; ++*slot)
		if (bpf_map_lookup_elem(map, slot, &kept) && errno == ENOENT)
			return true;
	return false;
}

/* Listeners may share an address; which of them answers depends on the source port. */
static bool keep(struct steer *steer, enum steer_question what, int map, const struct listening *listener)
{
	struct address at = beyond(&listener->address);
	struct steer_query query = {.what = what, .cookie = listener->cookie, .at = steer_endpoint_from(&at)};
	uint64_t kept;

	if (listener->cookie && is_kept(map, listener->cookie))
		return true;
	for (unsigned int port = 1; port <= KEEP_TRIES; port++) {
		query.source_port = (__u16)port;
		if (!find_free(map, &query.index) || steer_ask(steer, &query) < 0)
			return false;
		/* sock_ops may have been faster, with another listener. */
		if (bpf_map_lookup_elem(map, &query.index, &kept) == 0 &&
		    (!listener->cookie || kept == listener->cookie))
			return true;
	}
	return false;
}

/* Without cookies, those that share their address cannot be told apart: some may be missed. */
static bool is_ambiguous(const struct listening *listeners, int count)
{
	for (int i = 0; i < count; i++)
		for (int j = 0; j < i; j++)
			if (!listeners[i].cookie && address_equal(&listeners[i].address, &listeners[j].address))
				return true;
	return false;
}

/* After sock_ops is attached: who comes from then on is kept by that, and not again here. */
static int find_listeners(struct steer *steer, enum steer_question what, unsigned int port)
{
	int map = what == STEER_KEEP_ACME ? steer->acme_listeners : steer->https_listeners;
	struct listening listeners[STEER_LISTENERS] = {0};
	int count = listening_on(port, listeners, STEER_LISTENERS);
	bool all = count <= STEER_LISTENERS && !is_ambiguous(listeners, count);

	for (int i = 0; i < count && i < STEER_LISTENERS; i++) {
		if (what == STEER_KEEP_HTTPS && !may_be_https(steer, &listeners[i].address))
			continue;
		all = keep(steer, what, map, &listeners[i]) && all;
	}
	if (count > 0 && what == STEER_KEEP_ACME) {
		struct steer_endpoint at = steer_endpoint_from(&listeners[0].address);

		__atomic_fetch_add(&steer->state->arrivals, 1, __ATOMIC_SEQ_CST);
		if (!all)
			__atomic_fetch_add(&steer->state->unwatched, 1, __ATOMIC_SEQ_CST);
		log_arrival(steer, &at, all);
	}
	return count < 0 ? count : 0;
}

int arming_start(struct steer *steer, int ring)
{
	int error;

	steer->arrivals = ring_buffer__new(ring, arrival_seen, steer, NULL);
	if (!steer->arrivals)
		return -errno;
	error = find_listeners(steer, STEER_KEEP_ACME, steer->acme_port);
	if (!error && steer->bypass)
		error = find_listeners(steer, STEER_KEEP_HTTPS, steer->https_port);
	return error;
}

int arming_find_anew(struct steer *steer, enum steer_question what)
{
	bool acme = what == STEER_KEEP_ACME;
	int map = acme ? steer->acme_listeners : steer->https_listeners;

	/* sock_ops knows the new port by now; a listener that has come since is found again. */
	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		bpf_map_delete_elem(map, &i);
	if (acme) { /* what was unwatched was another port's, and so was the one that armed us */
		__atomic_store_n(&steer->state->missed, steer->state->unwatched, __ATOMIC_SEQ_CST);
		if (steer->was_armed)
			log_info("disarmed: the ACME port is another one now");
		steer->was_armed = false;
	}
	return find_listeners(steer, what, acme ? steer->acme_port : steer->https_port);
}

void arming_stop(struct steer *steer)
{
	if (steer->arrivals)
		ring_buffer__free(steer->arrivals);
	steer->arrivals = NULL;
}

/* Listeners that have no slot: see struct steer_state. */
static void look_for_unwatched(struct steer *steer)
{
	uint64_t unwatched = __atomic_load_n(&steer->state->unwatched, __ATOMIC_SEQ_CST);
	struct listening listener;

	if (unwatched != steer->state->missed && listening_on(steer->acme_port, &listener, 1) == 0)
		__atomic_store_n(&steer->state->missed, unwatched, __ATOMIC_SEQ_CST);
}

bool arming_look(struct steer *steer)
{
	if (steer->watches)
		hello_watch_look(steer);
	if (!steer->arrivals) {
		hello_watch_follow(steer, true); /* always, if it did not succeed before */
		return steer->watches && !steer->watch_ended;
	}
	look_for_unwatched(steer);
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
