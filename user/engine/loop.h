/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker as a whole: made, started and freed by the main thread. Between start and end its thread goes round the
 * loop; a worker that is not started can be driven round by round instead, as tests do.
 */
#ifndef ALPNBPF_ENGINE_LOOP_H
#define ALPNBPF_ENGINE_LOOP_H

#include <stdint.h>

struct engine;
struct worker;

/* All but its listeners, which come next, and the thread. 0 or -errno; worker_free() is due in either case. */
int worker_init(struct worker *worker, struct engine *engine, unsigned int index);
/* Its thread: begins to accept, and goes round until worker_turn() says that it is over. 0 or -errno. */
int worker_start(struct worker *worker);
/* Its thread must have ended, or never begun. */
void worker_free(struct worker *worker);

/*
 * One round: waits for events, until the next timer and at most patience_us (UINT64_MAX: as long as it takes), then
 * does all that is due. 0: to be called again. 1: it was told to drain or stop, and nothing is left. -errno: it cannot
 * wait any more.
 */
int worker_turn(struct worker *worker, uint64_t patience_us);

#endif
