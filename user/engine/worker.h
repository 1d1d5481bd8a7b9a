/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread with its listeners, its epoll set, its range of session slots and its event ring. What workers
 * share is in engine.h; of a worker, others use what is said to be between them.
 */
#ifndef ALPNBPF_ENGINE_WORKER_H
#define ALPNBPF_ENGINE_WORKER_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/timer.h"
#include "engine/counters.h"
#include "engine/engine.h"
#include "engine/listener.h"
#include "engine/session.h"
#include "engine/slots.h"
#include "engine/snapshot.h"
#include "hello/describe.h"
#include "options/options.h"

#define SCRATCH_BYTES (256 * 1024) /* what one recv() may take, once a worker */

struct ring_buffer;

#define WORKER_ENDED UINT64_MAX /* of worker_loops(): it does not run any more, and what it has written may be read */

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

/* Accepting new connections. */
struct accepting {
	struct listener listeners[LISTENERS_MAX + STEER_FAMILIES];
	unsigned int count;
	bool polled; /* the listeners are in the epoll set */
	bool over;   /* closed for good */
	struct timer timer;
};

/* What the first bytes of a client say, looked at before it went into the map. peek.c */
struct peeked {
	struct hello hello;
	const struct session *of; /* whose; NULL: nobody's */
};

struct worker {
	/* Not written while it runs. */
	struct engine *engine;
	unsigned int index;
	pthread_t thread;
	int epoll, wake;
	struct ring_buffer *ring;
	struct takeovers *takeovers; /* of the first worker, if hellos are watched; else NULL */

	/* Between the main thread and the worker. */
	_Atomic int command; /* enum worker_command; written by the main thread */
	_Atomic int asked;   /* enum snapshot_kind; set by the main thread, cleared by the worker with its answer … */
	struct snapshot snapshot; /* … this: the worker's while it is asked, else the main thread's */
	_Atomic uint64_t loops;   /* how often it came round; written by the worker */
	_Atomic(struct configuration *) configuration; /* of new sessions; written by the worker */

	/* The worker's alone. When it has ended, the main thread may read it. */
	uint64_t now; /* us, of this round */
	struct timers timers;
	struct session *runnable, *closing; /* lists */
	struct slots slots;
	struct accepting accepting; /* its listeners: filled, and read before the first reload, by the main thread */
	struct peeked peeked;
	struct counters counters;
	struct backend_state backends[ROUTES];
	unsigned int first_address[ROUTES]; /* of a backend: the one that answered last */
	uint64_t turns;                     /* of its conversations in user space; see promote.h */
	uint64_t events_lost;               /* as last seen */
	uint8_t *scratch;                   /* SCRATCH_BYTES */
};

/* From any thread. */
void worker_tell(struct worker *worker, enum worker_command command);
/* Makes it come round, which worker_loops() then shows. From any thread. */
void worker_wake(struct worker *worker);
uint64_t worker_loops(const struct worker *worker);
/* Sessions, as of some moment. From any thread. */
unsigned int worker_live(const struct worker *worker);

/* It has done what the main thread waits for: wakes that. On its own thread. */
void worker_answered(const struct worker *worker);

/* The session has something to do: session_progress() is called before the worker waits again. */
void worker_mark(struct session *session);

/* Stop and start accepting: out of descriptors, table full, draining. */
void worker_pause_accept(struct worker *worker, uint64_t until);
void worker_resume_accept(struct worker *worker);

#endif
