/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backends that cannot be connected to: a worker notes that, the main thread logs it, with what may be wrong. Only the
 * main thread can see who listens on this machine.
 */
#ifndef ALPNBPF_ENGINE_UNREACHABLE_H
#define ALPNBPF_ENGINE_UNREACHABLE_H

#include <stdatomic.h>

#include "engine/session.h"
#include "options/options.h"

struct engine;

/* In shared memory, one for each route. Workers add, the main thread resets. */
struct unreachable {
	_Atomic int error;           /* the last one, -errno */
	_Atomic unsigned long count; /* sessions that gave up since the last line */
};

/* A session has given up the backend that it was connecting to. On the worker's thread. */
void unreachable_note(const struct session *session, int error);

/* The error of an attempt to connect to a backend, in words. */
const char *unreachable_text(int error);
/* Logs what workers have noted. Main thread. */
void unreachable_log(struct engine *engine, const struct options *options);

#endif
