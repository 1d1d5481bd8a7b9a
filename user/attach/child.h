/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `attach ... -- COMMAND ARG...`: the command that we run as a child. It starts once we listen, gets the signals that
 * are meant for it, and gets SIGTERM when our sessions have ended. Main thread.
 */
#ifndef ALPNBPF_ATTACH_CHILD_H
#define ALPNBPF_ATTACH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/sentence.h"

struct child {
	pid_t pid; /* 0: there is no command, or it has not started */
	bool ended;
	int code;       /* once it has ended: its exit code, or 128 + the signal that killed it */
	uint64_t again; /* us; when to call child_reap() again. 0: on SIGCHLD */
};

/*
 * Starts the command with default signals and the descriptor limit `nofile`. 0, or -errno and why if it cannot be
 * executed; then there is no child.
 */
int child_start(struct child *child, char **command, const struct rlimit *nofile, struct sentence *why);
/* After SIGCHLD, and at child_next(): reaps the command if it has ended. True the one time that it has. */
bool child_reap(struct child *child);
/* When to call child_reap() at the latest, in us; UINT64_MAX: only on SIGCHLD. */
uint64_t child_next(const struct child *child);
void child_signal(const struct child *child, int signal);
/* Has the command started, and not ended? */
bool child_runs(const struct child *child);

#endif
