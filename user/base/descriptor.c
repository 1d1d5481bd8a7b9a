// SPDX-License-Identifier: BSD-2-Clause
/* File descriptors: see descriptor.h. Any thread. */
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

void descriptor_close(int *fd)
{
	int error = errno;

	if (*fd != NO_DESCRIPTOR)
		close(*fd);
	*fd = NO_DESCRIPTOR;
	errno = error;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Linux 5.9 */
static void close_from_to(int first, unsigned int last)
{
	if ((unsigned int)first <= last)
		syscall(SYS_close_range, (unsigned int)first, last, 0);
}

void descriptor_close_others(int *kept, unsigned int count)
{
	int next = STDERR_FILENO + 1;

	qsort(kept, count, sizeof(*kept), by_number);
	for (unsigned int i = 0; i < count; i++) {
		if (kept[i] < next)
			continue;
		close_from_to(next, (unsigned int)kept[i] - 1);
		next = kept[i] + 1;
	}
	close_from_to(next, ~0U);
}

int descriptor_open_nothing(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return fd < 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : fd;
}

void descriptor_refuse_passed(int fd)
{
	int off = 0, error = errno;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
	errno = error;
}
