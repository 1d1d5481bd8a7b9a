/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker as a whole: the main thread creates, starts and frees it; its thread runs the loop in between. A worker that
 * is not started can be driven turn by turn instead, as tests do.
 */
#ifndef ALPNBPF_ENGINE_LOOP_H
#define ALPNBPF_ENGINE_LOOP_H

#include <stdint.h>

#include "options/options.h"
#include "steering/plan.h"

#define WORKER_DESCRIPTORS (4 + LISTENERS_MAX + STEER_FAMILIES)

struct engine;
struct worker;

/* Sets up a worker, without listeners and without its thread. 0 or -errno; worker_free() is due in either case. */
int worker_init(struct worker *worker, struct engine *engine, unsigned int index);
/* Starts the thread, which accepts, and takes turns until worker_turn() ends it. 0 or -errno. */
int worker_start(struct worker *worker);
/* It runs in another process: this one frees and closes what only its thread needs. */
void worker_let_go(struct worker *worker);
/* Lists the descriptors that its thread needs, WORKER_DESCRIPTORS at most. Returns how many. */
unsigned int worker_descriptors(const struct worker *worker, int *out);
/* The thread must have ended, or never started. */
void worker_free(struct worker *worker);

/*
 * One turn: waits for events, until the next timer and at most patience_us (UINT64_MAX: no limit), then does everything
 * that is due. 0: call it again. 1: the worker was told to drain or stop, and has finished. -errno: epoll failed.
 */
int worker_turn(struct worker *worker, uint64_t patience_us);

#endif
