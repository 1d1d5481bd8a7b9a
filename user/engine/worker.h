/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread with its listeners, its epoll set, its range of session slots and its event ring. engine.h has
 * what workers share. The groups of struct worker say what other threads may use. The main process has a struct of each
 * worker as well: of that, it uses what was written before the workers' process began, `shared`, `list` and `wake`.
 */
#ifndef ALPNBPF_ENGINE_WORKER_H
#define ALPNBPF_ENGINE_WORKER_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/timer.h"
#include "engine/counters.h"
#include "engine/engine.h"
#include "engine/inbox.h"
#include "engine/listener.h"
#include "engine/session.h"
#include "engine/shared.h"
#include "engine/slots.h"
#include "engine/snapshot.h"
#include "hello/describe.h"
#include "options/options.h"

#define SCRATCH_BYTES (256 * 1024) /* the largest recv(); one buffer per worker */

struct ring_buffer;

#define WORKER_ENDED UINT64_MAX /* from worker_loops(): it has ended, and its fields may be read */

/* The source of an epoll event. */
enum source_kind { SOURCE_WAKE, SOURCE_RING, SOURCE_TAKEOVERS, SOURCE_HANDOVER, SOURCE_LISTENER, SOURCE_SESSION };

union event_source {
	struct {
		uint8_t kind; /* enum source_kind */
		uint8_t side;
		uint16_t generation;
		uint32_t index; /* of the listener, or of the session's slot */
	};
	uint64_t bits;
};
static_assert(sizeof(union event_source) == sizeof(uint64_t), "epoll data has 64 bits");

/* The listeners, and whether the worker accepts. */
struct accepting {
	struct listener listeners[LISTENERS_MAX + STEER_FAMILIES];
	unsigned int count;
	bool polled; /* the listeners are in the epoll set */
	bool over;   /* the listeners are closed for good */
	struct timer timer;
};

/* The description of a client's first bytes. peek.c */
struct peeked {
	struct hello hello;
	const struct session *of; /* NULL: there is none */
};

struct worker {
	/* Not written while it runs. */
	struct engine *engine;
	unsigned int index;
	pthread_t thread;
	int epoll, wake;
	struct ring_buffer *ring;
	struct takeovers *takeovers; /* in the first worker, if hellos are watched; else NULL */
	bool let_go;                 /* it runs in another process */
	struct worker_shared *shared;
	struct session_snapshot *list; /* as shared->answer; pages of engine->slots_per_worker of them. Owned */

	struct inbox inbox; /* shared with the worker that takes over; it has its own lock */

	/* For the worker only. After it has ended, the main thread may read it. */
	uint64_t now;                        /* us; the time of this turn */
	struct configuration *configuration; /* for new sessions */
	struct timers timers;
	struct session *runnable, *closing; /* lists */
	struct slots slots;
	struct accepting accepting; /* the main thread fills the listeners, and reads them before the first reload */
	struct peeked peeked;
	struct counters counters;
	struct backend_state backends[ROUTES];
	unsigned int first_address[ROUTES];                 /* of each backend: the index that answered last */
	uint64_t listeners[ROUTES][ENDPOINT_ADDRESSES_MAX]; /* of backends; 0: unknown. backend_owner.c */
	uint64_t elsewhere_until;                           /* us; in place, an own address is tried last: connect.h */
	uint64_t turns;                                     /* of its conversations in user space: see promote.h */
	uint64_t events_lost;                               /* as last seen */
	uint8_t *scratch;                                   /* SCRATCH_BYTES */
};

/* Sends a command. From any thread. */
void worker_tell(struct worker *worker, enum worker_command command);
/* Makes the loop turn once, which worker_loops() shows. From any thread. */
void worker_wake(struct worker *worker);
uint64_t worker_loops(const struct worker *worker);
/* Has it ended in order, with its last counters in shared memory? A process that was killed has not. */
bool worker_has_said_last(const struct worker *worker);
/* The number of sessions after its last turn. From any thread. */
unsigned int worker_live(const struct worker *worker);

/* Wakes the main thread, which waits for this worker. On the worker's own thread. */
void worker_answered(const struct worker *worker);

/* Marks a session as runnable: session_progress() is called before the worker waits again. */
void worker_mark(struct session *session);

/* Pause and resume accepting: out of descriptors, no free slot, draining. */
void worker_pause_accept(struct worker *worker, uint64_t until);
void worker_resume_accept(struct worker *worker);

#endif
