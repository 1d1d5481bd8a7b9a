/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The privileges that this process drops once it is set up. The stages are in sandbox.c, whose function alone is called
 * from outside; files and system calls have a file each. Main thread, once.
 */
#ifndef ALPNBPF_SYSTEM_SANDBOX_H
#define ALPNBPF_SYSTEM_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sentence.h"

#define SANDBOX_WRITABLE_MAX 4

/* What it keeps. All zero: nothing that can be dropped. */
struct sandbox {
	uint64_t capabilities;                      /* CAPABILITY(CAP_...), those of them that it has */
	const char *config;                         /* a file whose folder stays readable; NULL: none */
	const char *writable[SANDBOX_WRITABLE_MAX]; /* folders; NULL: none */
	bool attaches;                              /* BPF programs that are loaded, while it runs */
	pid_t child;                                /* the one process that may be sent signals; 0: none */
};

/*
 * All stages, on the one thread there is: threads that are created later inherit them. 0, or -errno, and why names the
 * stage; the process must end then, since some of its privileges are gone and others are not.
 */
int sandbox_enter(const struct sandbox *sandbox, struct sentence *why);

/* Single stages, for sandbox.c. What the kernel does not have is a debug line and 0. */
int sandbox_files(const struct sandbox *sandbox, struct sentence *why);
int sandbox_calls(const struct sandbox *sandbox, struct sentence *why);

#endif
