/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asks the repair helper, which has the rights that this process has given up (repair_helper.h). One struct for the
 * main thread and one for the worker that takes over; each is its thread's alone. Nothing here waits longer than
 * REPAIR_PATIENCE_MS, and not again until a late answer has come.
 */
#ifndef ALPNBPF_STEERING_REPAIR_H
#define ALPNBPF_STEERING_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/descriptor.h"
#include "steering/repair_protocol.h"

#define REPAIR_PATIENCE_MS 20 /* an answer takes some 10 us if there is a free CPU */

struct repair {
	int socket;        /* NO_DESCRIPTOR: there is no helper, or it has ended */
	uint32_t number;   /* of the last request */
	uint32_t awaited;  /* the request whose answer has not come. 0: none */
	bool is_forgotten; /* nobody wants that answer any more */
	uint64_t asked_us; /* when it was asked */
};

#define REPAIR_CLOSED                                                                                                  \
	(struct repair)                                                                                                \
	{                                                                                                              \
		.socket = NO_DESCRIPTOR                                                                                \
	}

/*
 * All return -EPIPE if the helper has ended, and -EAGAIN if it is late, or an answer to someone else is: then the same
 * may be asked again.
 *
 * Takes over a connection: the descriptor of the socket that goes on, or -errno: -EADDRNOTAVAIL if something of the
 * server's is left, -ENOTRECOVERABLE if the client had to be reset. Nothing happens after until_us (monotonic_us()).
 * *removed: removals tried so far. *asked: 0 at first; else the answer is still under way, and must be asked for again
 * or forgotten.
 */
int repair_take(struct repair *repair, const struct steer_takeover *takeover, uint64_t until_us, unsigned int *removed,
		uint32_t *asked);
/* Whatever the answer to that request is, nobody wants it. */
void repair_forget(struct repair *repair, uint32_t *asked);
/* Is nothing of the server's left? False also if that cannot be found out. */
bool repair_is_gone(struct repair *repair, const struct repair_entry *entry);
/* Without an answer: see enum repair_kind. 0 or -errno. */
int repair_tell(struct repair *repair, enum repair_kind kind, const struct repair_entry *entry);

struct repair_entry repair_entry_of(const struct steer_takeover *takeover);

/* The main thread: asks without waiting for the answer, which repair_read() returns. 0 or -errno. */
int repair_ask(struct repair *repair, enum repair_kind kind, unsigned int value);
/* 1: *answer is the next one. 0: there is none yet. -EPIPE. Waits `patience_ms` for one. */
int repair_read(struct repair *repair, struct repair_answer *answer, int patience_ms);

#endif
