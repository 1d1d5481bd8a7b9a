/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `attach ... -- COMMAND ARG...`: the command whose init we are. It starts once we listen, hears the signals that are
 * for it, and is told to end when our sessions have ended. As PID 1 of a container we reap orphans as well. Main
 * thread.
 */
#ifndef ALPNBPF_ATTACH_CHILD_H
#define ALPNBPF_ATTACH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/sentence.h"

struct child {
	pid_t pid; /* 0: none was asked for, or it has not been started */
	bool ended;
	int code;       /* once it has ended: its exit code, or 128 and the signal that ended it */
	uint64_t again; /* us; child_reap() is to be called by then. 0: SIGCHLD will tell */
};

/*
 * Starts it with the signals as usual, and with the descriptor limit we were given: nofile. 0, or -errno when it cannot
 * be executed, with a sentence in why; then there is no child.
 */
int child_start(struct child *child, char **command, const struct rlimit *nofile, struct sentence *why);
/* After SIGCHLD, and at child_next(): takes every process that has ended. True when the command is one of them. */
bool child_reap(struct child *child);
/* us; UINT64_MAX: only SIGCHLD tells. */
uint64_t child_next(const struct child *child);
void child_signal(const struct child *child, int signal);
/* It was started and has not ended. */
bool child_runs(const struct child *child);

#endif
