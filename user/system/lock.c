// SPDX-License-Identifier: BSD-2-Clause
/*
 * The lock is a listening unix socket with an abstract name. Such names belong to a network namespace, as ports do; the
 * kernel frees them when the process ends, and tells which process holds one. Owns nothing: the caller owns the
 * descriptor. Main thread.
 */
#include "system/lock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "system/process.h"

#define BACKLOG 64

/* How often a holder that does not listen is looked at, for half a second. */
#define LISTEN_TRIES  25
#define LISTEN_TRY_US 20000

static socklen_t make_address(struct sockaddr_un *address, const char *name)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* sun_path starts with a NUL: abstract. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "alpnbpf/%s", name));
}

int lock_find(const char *name, struct sentence *holder)
{
	struct sockaddr_un address;
	socklen_t length = make_address(&address, name), credentials_length = sizeof(struct ucred);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = 1}; /* the holder's queue may be full */
	struct ucred credentials = {0};
	bool known, connected;

	sentence_set(holder, "another process");
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	connected = connect(fd, (const struct sockaddr *)&address, length) == 0;
	if (!connected && errno == ECONNREFUSED) {
		close(fd);
		return 0;
	}
	known = connected && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &credentials_length) == 0;
	close(fd);
	if (known && credentials.pid) /* 0: in another PID namespace */
		process_name((unsigned int)credentials.pid, holder->text, sizeof(holder->text));
	return known && (!credentials.uid || credentials.uid == geteuid()) ? -EADDRINUSE : -EPERM;
}

/*
 * The name is taken, but nobody listens: a process that has just bound it will, or another user keeps us waiting.
 * Returns what lock_find() says in the end; 0: nobody has come to listen.
 */
static int find_patiently(const char *name, struct sentence *holder)
{
	int error = 0;

	for (int tries = 0; error == 0 && tries < LISTEN_TRIES; tries++) {
		error = lock_find(name, holder);
		if (error == 0)
			usleep(LISTEN_TRY_US);
	}
	return error;
}

int lock_take(const char *name, struct sentence *why)
{
	struct sockaddr_un address;
	socklen_t length = make_address(&address, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd >= 0)
		descriptor_refuse_passed(fd);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, length) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	if (error == -EADDRINUSE) {
		error = find_patiently(name, why);
		if (error == 0) /* alpnbpf listens at once */
			error = -EPERM;
	} else {
		sentence_set(why, "%s", strerror(-error));
	}
	if (fd >= 0)
		close(fd);
	return error;
}

void lock_answer(int lock)
{
	int fd = accept4(lock, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		close(fd);
}
