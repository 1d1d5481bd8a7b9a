// SPDX-License-Identifier: BSD-2-Clause
/* Datagrams to the service manager: see notify.h. Owns `kept`. Main thread. */
#include "system/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"

static int kept = NO_DESCRIPTOR; /* connected; NO_DESCRIPTOR: there is no service manager, or notify_open() failed */

/* A connected descriptor, or -errno; -ESRCH if there is no service manager. */
static int connect_to_manager(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	const struct timeval patience = {
		.tv_sec = 1}; /* the manager's queue may be full; the main loop must not wait for it */
	int fd, error;

	if (length == 0 || length >= sizeof(address.sun_path))
		return -ESRCH;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') /* an abstract name */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
		return fd;
	error = -errno;
	descriptor_close(&fd);
	return error;
}

void notify_open(void)
{
	descriptor_close(&kept);
	kept = connect_to_manager();
	if (kept < 0)
		kept = NO_DESCRIPTOR;
}

static int send_message(int fd, const char *message)
{
	return send(fd, message, strlen(message), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void notify_service_manager(const char *message)
{
	int error = kept == NO_DESCRIPTOR ? -ENOTCONN : send_message(kept, message), fd;

	if (error == -ENOTCONN || error == -ECONNREFUSED || error == -ECONNRESET) { /* not yet, or not any more */
		fd = connect_to_manager();
		if (fd == -ESRCH)
			return;
		error = fd < 0 ? fd : send_message(fd, message);
		descriptor_close(&fd);
	}
	if (error)
		log_warn("cannot send \"%s\" to the service manager at %s: %s", message, getenv("NOTIFY_SOCKET"),
			 strerror(-error));
}

void notify_status(const char *format, ...)
{
	static const char name[] = "STATUS=";
	char message[512] = "STATUS=";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message + sizeof(name) - 1, sizeof(message) - sizeof(name) + 1, format, arguments);
	va_end(arguments);
	notify_service_manager(message);
}
