/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this process gives up once it is set up. The stages are in sandbox.c, which alone is called from outside; files
 * and system calls have a file each.
 */
#ifndef ALPNBPF_SYSTEM_SANDBOX_H
#define ALPNBPF_SYSTEM_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sentence.h"

#define SANDBOX_WRITABLE_MAX 4
#define SANDBOX_CAP(number)  (1ULL << (number))

/* What it keeps. All zero: nothing that can be given up. */
struct sandbox {
	uint64_t capabilities;                      /* SANDBOX_CAP(CAP_…), in so far as it has them */
	const char *config;                         /* a file whose folder stays readable; NULL: none */
	const char *writable[SANDBOX_WRITABLE_MAX]; /* folders; NULL: none */
	bool attaches;                              /* BPF programs that are loaded, while it runs */
	pid_t child;                                /* the one process that may be sent signals; 0: none */
};

/*
 * All stages, on the one thread there is: threads that are created later have them too. 0, or -errno,
 * and why names the stage; the process must end then, since it is neither what it was nor what it should be.
 */
int sandbox_enter(const struct sandbox *sandbox, struct sentence *why);

/* Single stages, for sandbox.c. What the kernel does not have is a debug line and 0. */
int sandbox_files(const struct sandbox *sandbox, struct sentence *why);
int sandbox_calls(const struct sandbox *sandbox, struct sentence *why);

#endif
