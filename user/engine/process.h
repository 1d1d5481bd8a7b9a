/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process of the workers: it reads bytes of the network, so it is forked with what it needs for that and nothing
 * else. It ends when its workers have; it is killed when the main process ends. If it ends unasked, the program does.
 */
#ifndef ALPNBPF_ENGINE_PROCESS_H
#define ALPNBPF_ENGINE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sentence.h"

struct engine;
struct sandbox;

/* Of the main thread. */
struct workers_process {
	pid_t pid;                  /* 0: it does not run */
	bool has_ended, has_failed; /* failed: it did not end in order */
};

/*
 * Forks it, while this process has one thread; returns once its workers serve. It enters *sandbox first. 0, or -errno
 * and why, or why is empty because it has logged that itself.
 */
int workers_process_start(struct engine *engine, const struct sandbox *sandbox, struct sentence *why);
/* A process has ended, and was not waited for: is it this one? Then waits for it, and logs an end that nobody wanted.
 */
bool workers_process_reap(struct engine *engine, pid_t pid);
/* Its workers were told to stop: waits for its end; kills it if that takes long. */
void workers_process_join(struct engine *engine);

#endif
