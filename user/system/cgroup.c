// SPDX-License-Identifier: BSD-2-Clause
/* Finds the cgroup v2 mount: see cgroup.h. Owns nothing. Main thread. */
#include "system/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_INODE 1 /* kernfs numbers its nodes from here */

/* mountinfo writes blanks in paths as \040 (proc(5)). */
static void unescape(char *path)
{
	char *out = path;
	unsigned int code;

	for (const char *in = path; *in; out++) {
		if (*in == '\\' && sscanf(in + 1, "%3o", &code) == 1) {
			*out = (char)code;
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
}

/* Prefers the mount of the hierarchy's root; any other mount shows only a part of the hierarchy. */
static bool find_mount(char *path, size_t path_size)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], root[1024], point[1024];
	bool found = false, whole = false;

	if (!file)
		return false;
	while (!whole && fgets(line, sizeof(line), file)) {
		const char *type = strstr(line, " - ");

		if (!type || strncmp(type, " - cgroup2 ", 11) != 0 ||
		    sscanf(line, "%*d %*d %*s %1023s %1023s", root, point) != 2)
			continue;
		whole = strcmp(root, "/") == 0;
		if (!found || whole) {
			unescape(point);
			snprintf(path, path_size, "%s", point);
		}
		found = true;
	}
	fclose(file);
	return found;
}

int cgroup_open_root(char *path, size_t path_size, struct sentence *why)
{
	struct stat status;
	int fd;

	if (!find_mount(path, path_size))
		return sentence_error(why, -ENOENT, "no cgroup v2 hierarchy is mounted");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &status) == 0 && status.st_ino == ROOT_INODE)
		return fd;
	if (fd >= 0) {
		/*
		 * Listeners outside of it would go unseen. In a cgroup namespace, mountinfo shows "/" for this one too.
		 */
		close(fd);
		return sentence_error(why, -EXDEV, "cgroup %s is not the root of the hierarchy", path);
	}
	return sentence_error(why, -errno, "cgroup %s: %s", path, strerror(errno));
}
