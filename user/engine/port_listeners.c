// SPDX-License-Identifier: BSD-2-Clause
/* Asks for the listeners of a port, and publishes them: see port_listeners.h. Owns nothing. */
#include "engine/port_listeners.h"

#include <assert.h>
#include <stddef.h>

#include "base/timer.h"
#include "engine/shared.h"
#include "engine/worker.h"
#include "steering/owners.h"

#define OLD_US   (1000 * US_PER_MS) /* too old to be used */
#define STALE_US (500 * US_PER_MS)  /* used, but asked for again, so that with many connections none has to wait */

static_assert(sizeof(struct listening) % sizeof(uint64_t) == 0, "published_copy() copies whole words");

/* --- a worker's side --- */

static void ask_for(const struct worker *worker, unsigned int port)
{
	if (atomic_exchange(&worker->engine->shared->listeners.wanted, port) != port)
		worker_answered(worker);
}

static unsigned int known(const struct port_list *list)
{
	return list->count < 0 ? 0 : list->count < PORT_LISTENERS_MAX ? (unsigned int)list->count : PORT_LISTENERS_MAX;
}

/* False if the main thread has published another one meanwhile. */
static bool copy_list(struct port_listeners *listeners, struct port_list *out)
{
	uint32_t number = published_read(&listeners->published);
	const struct port_list *list = &listeners->lists[number & 1];

	published_copy(out, list, offsetof(struct port_list, found));
	if (!published_was_whole(&listeners->published, number))
		return false;
	published_copy(out->found, list->found, known(out) * sizeof(struct listening));
	return published_was_whole(&listeners->published, number);
}

bool port_listeners_of(const struct worker *worker, unsigned int port, uint64_t since, struct port_list *list)
{
	uint64_t age;

	if (!copy_list(&worker->engine->shared->listeners, list) || list->port != port || list->at < since) {
		ask_for(worker, port);
		return false;
	}
	age = worker->now > list->at ? worker->now - list->at : 0;
	if (age >= STALE_US)
		ask_for(worker, port);
	return age < OLD_US;
}

/* --- the main thread's side --- */

/* At the ACME client's port, others' listeners are nothing to a worker, and must take no room. */
static bool is_wanted(void *context, const struct listening *listening)
{
	const struct engine *engine = context;
	unsigned int port = address_port(&listening->address);

	if (!engine->owners.asked[ROUTE_ACME] || port != engine->steer.plan.acme_port ||
	    engine->steer.asker.program == NO_DESCRIPTOR)
		return true;
	return owners_has_named(&engine->owners.of[ROUTE_ACME], listening->uid);
}

void port_listeners_answer(struct engine *engine)
{
	struct port_listeners *listeners = &engine->shared->listeners;
	unsigned int port = atomic_load(&listeners->wanted);
	struct port_list list = {.at = monotonic_us(), .port = port};

	if (!port)
		return;
	list.count = listening_wanted(port, is_wanted, engine, list.found, PORT_LISTENERS_MAX);
	published_copy(&listeners->lists[published_begin(&listeners->published)], &list, sizeof(list));
	published_end(&listeners->published);
	atomic_compare_exchange_strong(&listeners->wanted, &port, 0); /* another port may be wanted by now */
}
