/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drops the privileges that this process no longer needs once it is set up. The stages are in sandbox.c; files and
 * system calls have a file each. Main thread, once.
 */
#ifndef ALPNBPF_SYSTEM_SANDBOX_H
#define ALPNBPF_SYSTEM_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sentence.h"

#define SANDBOX_WRITABLE_MAX 4

/* What the process keeps. All zero: it drops everything it can. */
struct sandbox {
	uint64_t capabilities;                      /* CAPABILITY(CAP_...), as far as it has them */
	const char *config;                         /* a file, whose folder stays readable; NULL: none */
	const char *writable[SANDBOX_WRITABLE_MAX]; /* folders; NULL: none */
	bool attaches;                              /* may attach BPF programs that are loaded already */
	pid_t child;                                /* the only process it may send signals to; 0: none */
};

/*
 * Runs all stages, while there is only one thread; later threads inherit them. 0, or -errno, and why names the stage.
 * After an error the process must exit, because it has dropped some of its privileges but not all.
 */
int sandbox_enter(const struct sandbox *sandbox, struct sentence *why);

/* Single stages, for sandbox.c only. A feature that the kernel lacks is a debug line, and 0. */
int sandbox_files(const struct sandbox *sandbox, struct sentence *why);
int sandbox_calls(const struct sandbox *sandbox, struct sentence *why);

#endif
