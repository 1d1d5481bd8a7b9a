/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread with its listeners, its epoll set, its range of session slots and its event ring. Workers share
 * the maps, the source table and these options, nothing else.
 */
#ifndef ALPNBPF_ENGINE_WORKER_H
#define ALPNBPF_ENGINE_WORKER_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hello/describe.h"
#include "options/options.h"
#include "engine/counters.h"
#include "engine/engine.h"
#include "engine/listener.h"
#include "engine/report.h"
#include "engine/session.h"
#include "base/timer.h"

#define SCRATCH_BYTES (256 * 1024) /* what one recv() may take, once a worker */

struct ring_buffer;

#define WORKER_ENDED UINT64_MAX /* of worker_loops() */

/* What an epoll event is about. */
enum source_kind { SOURCE_WAKE, SOURCE_RING, SOURCE_TAKEOVERS, SOURCE_LISTENER, SOURCE_SESSION };

union event_source {
	struct {
		uint8_t kind; /* enum source_kind */
		uint8_t side;
		uint16_t generation;
		uint32_t index; /* of the listener, or of the session in its worker */
	};
	uint64_t bits;
};
static_assert(sizeof(union event_source) == sizeof(uint64_t), "epoll data has 64 bits");

struct worker {
	struct engine *engine;
	unsigned int index;
	pthread_t thread;
	_Atomic int command; /* enum worker_command */
	_Atomic int asked; /* enum report_kind; the main thread sets it, the worker clears it when `report` is filled */
	struct report report;
	_Atomic uint64_t
		loops; /* how often it came round; WORKER_ENDED: no more, and what it has written may be read */
	int epoll, wake;
	struct ring_buffer *ring;
	struct takeovers *takeovers; /* of the first worker, if hellos are watched; else NULL */
	uint64_t events_lost;
	struct timers timers;
	uint64_t now;   /* us, of this batch */
	uint64_t turns; /* of its conversations in user space; see promote.h */

	_Atomic(struct configuration *) configuration; /* of new sessions; set by its thread */
	unsigned int most;                             /* sessions; may be less than there are slots */
	struct listener listeners[LISTENERS_MAX + STEER_FAMILIES];
	unsigned int listener_count;
	bool listening;  /* the listeners are in the epoll set */
	bool accept_off; /* closed for good */
	struct timer accept_timer;

	struct session *sessions;
	unsigned int live;       /* sessions in use */
	unsigned int used_slots; /* those below were in use one day */
	unsigned int *free_slots;
	unsigned int free_count;
	uint64_t last_number;
	unsigned int first_address[ROUTES]; /* of a backend: the one that answered last */
	struct backend_state backends[ROUTES];
	struct session *runnable, *closing;
	uint8_t *scratch;
	struct hello hello;             /* looked at before its client went into the map … */
	const struct session *hello_of; /* … of this session; NULL: of none */
	struct counters counters;
};

/* From any thread. */
void worker_tell(struct worker *worker, enum worker_command command);
/* Makes it come round, which worker_loops() then shows. From any thread. */
void worker_wake(struct worker *worker);
uint64_t worker_loops(const struct worker *worker);

/* The session has something to do: session_progress() is called before the worker waits again. */
void worker_mark(struct session *session);

/* Put a socket of a session into the epoll set, or change what is waited for there. 0 or -errno. */
int worker_watch(struct session *session, enum side side, uint32_t events, bool change);

/* Stop and start accepting: out of descriptors, table full, draining. */
void worker_pause_accept(struct worker *worker, uint64_t until);
void worker_resume_accept(struct worker *worker);

#endif
