/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of an instance, NAME.sock in the run directory (system/run_directory.h), and which processes may
 * use it. The lock on NAME.lock shows whether the instance is alive, or was killed and left its files. Main thread.
 */
#ifndef ALPNBPF_OPERATE_CONTROL_H
#define ALPNBPF_OPERATE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

#include "options/options.h"
#include "system/user.h"

struct control {
	int fd, lock; /* NO_DESCRIPTOR: not open */
	char name[sizeof(((struct options *)0)->name) + 16];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool has_group; /* --control-group */
	gid_t group;
};

/*
 * Takes the name given by the options, or the first port as the name, and listens. `user` is the one that this process
 * will run as, and may use the socket too. 0, or -errno and why; -EADDRINUSE if the name is in use. control_close()
 * removes the files.
 */
int control_open(struct control *control, const struct options *options, const struct user *user, struct sentence *why);
void control_close(struct control *control);

/* May the peer of this connection use the socket: is it root, our own user, or a member of the group? */
bool control_admits(const struct control *control, int fd);

#endif
