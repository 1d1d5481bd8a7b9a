// SPDX-License-Identifier: BSD-2-Clause
/* Enters a network namespace: see netns.h. Owns nothing. */
#include "system/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "system/capabilities.h"

#define NAMED "/run/netns" /* ip-netns(8) */

static bool is_pid(const char *which)
{
	return *which && strspn(which, "0123456789") == strlen(which);
}

static int explain_open(const char *which, const char *path, int error, struct sentence *why)
{
	if (is_pid(which) && error == -ENOENT)
		return sentence_error(why, error, "there is no process %s", which);
	if (!strchr(which, '/') && error == -ENOENT)
		return sentence_error(why, error,
				      "%s does not exist; `ip netns` lists the names; a container has none: give the "
				      "process id of its first process",
				      path);
	return sentence_error(why, error, "cannot open %s: %s", path, strerror(-error));
}

static int explain_enter(const char *path, int error, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];

	if (error == -EINVAL)
		return sentence_error(why, error, "%s is not a network namespace", path);
	return sentence_error(why, error, "cannot enter %s: %s", path,
			      capabilities_strerror(error, CAPABILITY(CAP_SYS_ADMIN), text, sizeof(text)));
}

int netns_enter(const char *which, struct sentence *why)
{
	char path[512];
	int fd, error = 0;

	if (is_pid(which))
		snprintf(path, sizeof(path), "/proc/%s/ns/net", which);
	else
		snprintf(path, sizeof(path), "%s%s", strchr(which, '/') ? "" : NAMED "/", which);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return explain_open(which, path, -errno, why);
	if (setns(fd, CLONE_NEWNET))
		error = explain_enter(path, -errno, why);
	close(fd);
	return error;
}
