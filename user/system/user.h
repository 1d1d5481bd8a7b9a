/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user that this process runs as once it is set up: who that is, whether the kernel allows the change, and the
 * change itself. Owns nothing. Main thread, while it is the only one.
 */
#ifndef ALPNBPF_SYSTEM_USER_H
#define ALPNBPF_SYSTEM_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/sentence.h"

#define USER_BY_DEFAULT "alpnbpf"
#define USER_TEXT_MAX   80

struct user {
	uid_t uid;
	gid_t gid;
	char name[64];           /* empty: the uid has no name */
	bool changes;            /* this process is root, and user_become() is due */
	struct sentence warning; /* why it is not the user that was asked for, with the remedy; empty: it is */
};

/*
 * A static binary has no shared modules to ask directories with: from now on, libc looks users and groups up in
 * /etc/passwd and /etc/group. Call it before each such look-up. Other binaries ask whom the machine asks.
 */
void user_look_up_in_files(void);

/*
 * Decides which user that is: `wanted` (a name or a number), or USER_BY_DEFAULT if it is empty. Tries the change in a
 * child process. 0, or -errno and why if `wanted` cannot be had; without `wanted`, always 0.
 */
int user_decide(struct user *user, const char *wanted, struct sentence *why);

/*
 * Changes user, group and supplementary groups for good. The permitted capabilities stay, and are effective. 0 or
 * -errno; after an error the process must exit.
 */
int user_become(const struct user *user);

/* "alpnbpf", or "uid 65443". Returns out. */
const char *user_text(const struct user *user, char *out, size_t size);

#endif
