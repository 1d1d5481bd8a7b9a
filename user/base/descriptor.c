// SPDX-License-Identifier: BSD-2-Clause
/* File descriptors: see descriptor.h. Any thread. */
#include "base/descriptor.h"

#include <errno.h>
#include <unistd.h>

void descriptor_close(int *fd)
{
	int error = errno;

	if (*fd != NO_DESCRIPTOR)
		close(*fd);
	*fd = NO_DESCRIPTOR;
	errno = error;
}
