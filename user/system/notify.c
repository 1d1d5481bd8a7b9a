// SPDX-License-Identifier: BSD-2-Clause
/*
 * Datagrams to the service manager: see notify.h. The kernel's queue for its socket may be full; what does not fit
 * waits here, in order. A sign of life waits at most once, and only the newest status does. If all places are taken, a
 * sign of life is given up first, then a status, then the oldest message, which is logged. Main thread.
 */
#include "system/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"

#define MESSAGES_MOST 8
#define MESSAGE_MAX   512

#define SIGN_OF_LIFE "WATCHDOG="
#define STATUS       "STATUS="

static int kept = NO_DESCRIPTOR; /* connected */
static char messages[MESSAGES_MOST][MESSAGE_MAX];
static unsigned int waiting;

/* A connected descriptor, or -errno; -ESRCH if there is no service manager. */
static int connect_to_manager(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd, error;

	if (length == 0 || length >= sizeof(address.sun_path))
		return -ESRCH;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') /* an abstract name */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
		return fd;
	error = -errno;
	descriptor_close(&fd);
	return error;
}

/* 0 or -errno, as above. */
static int connect_anew(void)
{
	int fd = connect_to_manager();

	descriptor_close(&kept);
	if (fd < 0)
		return fd;
	kept = fd;
	return 0;
}

void notify_open(void)
{
	connect_anew(); /* if it fails, the first message tries again, and reports that */
}

/* --- messages that wait --- */

static bool begins_with(const char *message, const char *start)
{
	return strncmp(message, start, strlen(start)) == 0;
}

static void remove_message(unsigned int index)
{
	waiting--;
	memmove(messages[index], messages[index + 1], (waiting - index) * sizeof(messages[0]));
}

/* The oldest one that begins so. False: there is none. */
static bool remove_first(const char *start)
{
	for (unsigned int i = 0; i < waiting; i++) {
		if (!begins_with(messages[i], start))
			continue;
		remove_message(i);
		return true;
	}
	return false;
}

static void make_room(void)
{
	if (waiting < MESSAGES_MOST || remove_first(SIGN_OF_LIFE) || remove_first(STATUS))
		return;
	log_warn("the service manager does not read its socket %s: \"%s\" was not sent", getenv("NOTIFY_SOCKET"),
		 messages[0]);
	remove_message(0);
}

static void add_message(const char *message)
{
	if (begins_with(message, SIGN_OF_LIFE))
		remove_first(SIGN_OF_LIFE);
	if (begins_with(message, STATUS))
		remove_first(STATUS);
	make_room();
	snprintf(messages[waiting++], MESSAGE_MAX, "%s", message);
}

/* --- sending --- */

static int send_message(const char *message)
{
	return send(kept, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* 0; -EAGAIN: later; -ESRCH: there is no service manager; else -errno. */
static int send_or_connect(const char *message)
{
	int error = kept == NO_DESCRIPTOR ? -ENOTCONN : send_message(message);

	if (error != -ENOTCONN && error != -ECONNREFUSED && error != -ECONNRESET)
		return error;
	error = connect_anew(); /* not connected yet, or the manager has a new socket */
	return error ? error : send_message(message);
}

void notify_flush(void)
{
	while (waiting) {
		int error = send_or_connect(messages[0]);

		if (error == -EAGAIN)
			return;
		if (error && error != -ESRCH)
			log_warn("cannot send \"%s\" to the service manager at %s: %s", messages[0],
				 getenv("NOTIFY_SOCKET"), strerror(-error));
		remove_message(0);
	}
}

void notify_service_manager(const char *message)
{
	static struct log_limit limit;
	unsigned int before = waiting;
	unsigned long suppressed;

	add_message(message);
	notify_flush();
	if (!before && waiting && log_limit_pass(&limit, &suppressed))
		log_warn("the service manager does not read its socket %s: \"%s\" is sent when it does (%lu more "
			 "suppressed)",
			 getenv("NOTIFY_SOCKET"), message, suppressed);
}

void notify_status(const char *format, ...)
{
	char message[MESSAGE_MAX] = STATUS;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message + strlen(STATUS), sizeof(message) - strlen(STATUS), format, arguments);
	va_end(arguments);
	notify_service_manager(message);
}

int notify_fd(void)
{
	return waiting ? kept : NO_DESCRIPTOR;
}

void notify_close(void)
{
	notify_flush();
	for (; waiting; remove_message(0))
		log_warn("the service manager does not read its socket %s: \"%s\" was not sent",
			 getenv("NOTIFY_SOCKET"), messages[0]);
	descriptor_close(&kept);
}
