/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listeners of a port, for workers: they ask the main thread, which lists them (system/listening.h) and publishes
 * the list. A worker does not wait for that: its attempt to connect fails, and the next one finds the list.
 */
#ifndef ALPNBPF_ENGINE_PORT_LISTENERS_H
#define ALPNBPF_ENGINE_PORT_LISTENERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/published.h"
#include "system/listening.h"

#define PORT_LISTENERS_MAX 64

struct engine;
struct worker;

/* In shared memory. */
struct port_listeners {
	_Atomic unsigned int
		wanted; /* the port that is asked for; 0: none. Set by workers, cleared by the main thread */
	struct published published;
	struct port_list {
		uint64_t at;   /* us; when it was true */
		uint64_t port; /* 0: there is no list yet */
		int64_t count; /* of all, which may be more than fit; or -errno */
		struct listening found[PORT_LISTENERS_MAX];
	} lists[2]; /* written by the main thread */
};

/*
 * The listeners of the port, as they were a second ago at most, and not before `since` (us): copies them to *list.
 * False if there is no such list; then it was asked for. On a worker's thread.
 */
bool port_listeners_of(const struct worker *worker, unsigned int port, uint64_t since, struct port_list *list);

/* Lists those that workers have asked for. Main thread. */
void port_listeners_answer(struct engine *engine);

#endif
