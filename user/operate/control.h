/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of an instance: NAME.sock in the run directory (system/run_directory.h); who may use it. A lock
 * beside it, NAME.lock, tells a live instance from what a killed one left. Main thread, and the commands that ask.
 */
#ifndef ALPNBPF_OPERATE_CONTROL_H
#define ALPNBPF_OPERATE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

#include "options/options.h"

struct control {
	int fd, lock; /* NO_DESCRIPTOR: not open */
	char name[sizeof(((struct options *)0)->name) + 16];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool has_group;
	gid_t group;
};

/*
 * Takes the name of the options, or one made of the first port, and listens. 0; or -errno with a sentence in why:
 * -EADDRINUSE when the name asked for is taken. control_close() removes what was made.
 */
int control_open(struct control *control, const struct options *options, struct sentence *why);
void control_close(struct control *control);

/* May the process at the other end use it: root, our own user, or a member of the group? */
bool control_admits(const struct control *control, int fd);

#endif
