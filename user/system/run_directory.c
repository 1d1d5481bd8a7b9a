// SPDX-License-Identifier: BSD-2-Clause
/* The run directory: see run_directory.h. Owns the text of its path. Main thread. */
#include "system/run_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

const char *run_directory(void)
{
	static char first[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *given = getenv("RUNTIME_DIRECTORY"); /* several are separated by colons */

	if (!given || *given != '/')
		return "/run/alpnbpf";
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(given, ":"), given);
	return first;
}

bool run_directory_path(const char *name, const char *suffix, char *out, size_t size)
{
	int length = snprintf(out, size, "%s/%s.%s", run_directory(), name, suffix);

	return length > 0 && (size_t)length < size;
}

bool run_directory_socket(const char *name, char *out, size_t size)
{
	return run_directory_path(name, "sock", out, size);
}
