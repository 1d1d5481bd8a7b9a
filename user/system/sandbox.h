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
#include "system/user.h"

#define SANDBOX_WRITABLE_MAX 4

enum sandbox_stage { SANDBOX_USER, SANDBOX_CAPABILITIES, SANDBOX_FILES, SANDBOX_CALLS, SANDBOX_STAGES };

/* What became of each stage. */
struct sandbox_report {
	struct {
		bool holds;     /* false: it could not be entered, or root was asked for */
		char text[160]; /* how it holds, or why not */
	} stages[SANDBOX_STAGES];
};

/*
 * What a process is for, and so which system calls it may use (sandbox_calls.c, sandbox_sockets.c) and which files it
 * may read (sandbox_files.c). Bits: a process may be for more than one.
 */
enum sandbox_role {
	SANDBOX_MAIN = 1,    /* arming, reloads, the control socket, metrics */
	SANDBOX_WORKERS = 2, /* sessions; no file */
	SANDBOX_HELPER = 4,  /* takeovers; one thread, no file, no memory that it has not at the start */
};

/* What the process keeps. All zero but `roles`: it drops everything it can. */
struct sandbox {
	unsigned int roles;                         /* enum sandbox_role */
	const struct user *user;                    /* as decided before; NULL: the one it is */
	uint64_t capabilities;                      /* CAPABILITY(CAP_...), as far as it has them */
	const char *config;                         /* a file, whose folder stays readable; NULL: none */
	const char *writable[SANDBOX_WRITABLE_MAX]; /* folders; NULL: none */
	bool transparent;     /* sockets with clients' addresses: main makes them, workers bind them */
	bool binds;           /* workers choose the ports of their connections, since sock_ops does not see these */
	pid_t child, workers; /* the only processes it may send signals to; 0: none */
	pid_t parent;         /* it is killed when this process, its parent, ends; 0: it is not */
};

/*
 * Runs all stages, while there is only one thread; later threads inherit them. 0, or -errno, and why names the stage.
 * After an error the process must exit, because it has dropped some of its privileges but not all.
 */
int sandbox_enter(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why);

/* What the stages would be on this kernel, as far as that can be told without entering them. */
void sandbox_foresee(const struct sandbox *sandbox, struct sandbox_report *report);

/* "user", "capabilities", "files", "calls" */
const char *sandbox_stage_name(enum sandbox_stage stage);

/* Sets what became of a stage. */
void sandbox_report_set(struct sandbox_report *report, enum sandbox_stage stage, bool holds, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Single stages, for sandbox.c only. A feature that the kernel lacks is no error: the report says so. */
int sandbox_files(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why);
int sandbox_calls(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why);
/* Has this kernel what the stage needs? If not, the report says so. */
bool sandbox_files_possible(struct sandbox_report *report);
bool sandbox_calls_possible(struct sandbox_report *report);

#endif
