// SPDX-License-Identifier: BSD-2-Clause
/* Compares kernel versions: see kernels.h. Owns nothing. Any thread. */
#include "dataplane/kernels.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool kernel_is_too_old(const char *release, const char *version, char *name, size_t size)
{
	/* "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)" */
	const char *debian = strstr(version, "Debian ");
	unsigned int major = 0, minor = 0, patch = 0;

	if (debian && isdigit((unsigned char)debian[strlen("Debian ")]))
		release = debian + strlen("Debian ");
	snprintf(name, size, "%.*s", (int)strcspn(release, " "), release);
	if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2)
		return false;
	if (major != 6)
		return major < 6;
	if (minor == 1)
		return patch < 142;
	if (minor == 12)
		return patch < 35;
	/* 6.16 has both fixes; the series in between ended without them, or were not checked. */
	return minor < 16;
}
