// SPDX-License-Identifier: BSD-2-Clause
/* The only reader of /proc/sys: see sysctl.h. Owns nothing. Any thread. */
#include "system/sysctl.h"

#include <stdio.h>
#include <string.h>

bool sysctl_text(const char *name, char *out, size_t size)
{
	char path[128];
	bool read;
	FILE *file;

	*out = '\0';
	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	file = fopen(path, "re");
	if (!file)
		return false;
	read = fgets(out, (int)size, file) != NULL;
	fclose(file);
	if (!read)
		*out = '\0';
	out[strcspn(out, "\n")] = '\0';
	return read;
}

unsigned int sysctl_number(const char *name, unsigned int otherwise)
{
	unsigned int number;
	char text[64];

	return sysctl_text(name, text, sizeof(text)) && sscanf(text, "%u", &number) == 1 ? number : otherwise;
}
