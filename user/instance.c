// SPDX-License-Identifier: BSD-2-Clause
/*
 * The lock is a listening unix socket with an abstract name: such names belong to a network namespace, as ports do, go
 * with their process, and say who holds them.
 */
#include "instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "diagnose.h"

static void name_holder(const struct sockaddr_un *name, socklen_t length, char *out, size_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred holder = {0};
	socklen_t holder_length = sizeof(holder);

	snprintf(out, size, "another process");
	if (fd < 0)
		return;
	/* The pid is 0 for a process this one cannot see. */
	if (connect(fd, (const struct sockaddr *)name, length) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &holder_length) == 0 && holder.pid)
		diagnose_process((unsigned int)holder.pid, out, size);
	close(fd);
}

int instance_take(const char *name, char *reason, size_t reason_size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length;
	int fd, error;

	/* sun_path starts with a NUL: abstract. */
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     (size_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "alpnbpf/%s", name));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, length) == 0 && listen(fd, 8) == 0)
		return fd;
	error = -errno;
	if (error == -EADDRINUSE)
		name_holder(&address, length, reason, reason_size);
	else
		snprintf(reason, reason_size, "%s", strerror(-error));
	if (fd >= 0)
		close(fd);
	return error;
}
