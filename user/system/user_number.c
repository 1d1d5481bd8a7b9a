// SPDX-License-Identifier: BSD-2-Clause
/* Numbers and names of users: see user_number.h. Owns nothing. Main thread. */
#include "system/user_number.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>

/* Translates by /proc/self/uid_map, whose lines are: first inside, first outside, how many. */
static uint32_t translate(uint32_t uid, bool to_outside)
{
	FILE *map = fopen("/proc/self/uid_map", "re");
	uint32_t inside, outside, count, result = UINT32_MAX;

	if (!map)
		return uid;
	while (result == UINT32_MAX && fscanf(map, "%u %u %u", &inside, &outside, &count) == 3) {
		uint32_t from = to_outside ? inside : outside, to = to_outside ? outside : inside;

		if (uid >= from && uid - from < count)
			result = to + (uid - from);
	}
	fclose(map);
	return result;
}

uint32_t user_in_kernel(uint32_t uid)
{
	return translate(uid, true);
}

uint32_t user_from_kernel(uint32_t uid)
{
	return translate(uid, false);
}

/* Not by getpwuid(), which may ask a service. */
const char *user_format(uint32_t uid, char *out, size_t size)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *user;

	snprintf(out, size, "uid %u", uid);
	while (file && (user = fgetpwent(file)))
		if (user->pw_uid == uid) {
			snprintf(out, size, "uid %u (%.40s)", uid, user->pw_name);
			break;
		}
	if (file)
		fclose(file);
	return out;
}
