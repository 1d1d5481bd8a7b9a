// SPDX-License-Identifier: BSD-2-Clause
/* Finds the root of the cgroups: see cgroup.h. Owns nothing. Main thread. */
#include "system/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT_INODE      1 /* kernfs numbers its nodes from here */
#define MOUNT_POINT_MAX 1024
#define MOUNT_FLAGS     (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

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

/* Is it the root? In a cgroup namespace, mountinfo shows "/" for another one, and "/.." for the root. */
static bool is_root(int fd)
{
	struct statfs filesystem;
	struct stat status;

	return !fstatfs(fd, &filesystem) && filesystem.f_type == CGROUP2_SUPER_MAGIC && !fstat(fd, &status) &&
	       status.st_ino == ROOT_INODE;
}

/* 1: `line` of mountinfo is the mount of a cgroup v2 hierarchy, at `point`. */
static bool read_mount(const char *line, char point[MOUNT_POINT_MAX])
{
	const char *type = strstr(line, " - ");

	if (!type || strncmp(type, " - cgroup2 ", strlen(" - cgroup2 ")) != 0 ||
	    sscanf(line, "%*d %*d %*s %*s %1023s", point) != 1)
		return false;
	unescape(point);
	return true;
}

/* The first mount that shows the root. A descriptor, or -errno: -ENOENT, there is no mount; -EXDEV, none shows it. */
static int open_mounted(char *path, size_t path_size)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], point[MOUNT_POINT_MAX];
	int error = -ENOENT;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		int fd;

		if (!read_mount(line, point))
			continue;
		fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && is_root(fd)) {
			snprintf(path, path_size, "%s", point);
			fclose(file);
			return fd;
		}
		if (error == -ENOENT)
			snprintf(path, path_size, "%s", point);
		error = fd < 0 ? -errno : -EXDEV;
		if (fd >= 0)
			close(fd);
	}
	fclose(file);
	return error;
}

/*
 * A mount that nobody else sees, which ends with its descriptor: where /sys was mounted anew, as by `ip netns exec`.
 * It needs CAP_SYS_ADMIN. In a cgroup namespace it shows that one's root. A descriptor, or -errno.
 */
static int open_detached(void)
{
	int context = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC), mount, fd = -1;

	if (context < 0)
		return -errno;
	mount = syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)
			? -1
			: (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_FLAGS);
	if (mount >= 0)
		fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	if (mount >= 0)
		close(mount);
	close(context);
	if (fd >= 0 && !is_root(fd)) {
		close(fd);
		return -EXDEV;
	}
	return fd;
}

/*
 * Nothing but the root will do: listeners outside would go unseen. That everything which can listen here is in one
 * cgroup cannot be known from inside: any process of the machine may enter the network namespace.
 */
int cgroup_open_root(char *path, size_t path_size, struct sentence *why)
{
	int fd = open_mounted(path, path_size), detached;

	if (fd >= 0)
		return fd;
	detached = open_detached();
	if (detached >= 0) {
		snprintf(path, path_size, "root");
		return detached;
	}
	if (fd == -ENOENT)
		return sentence_error(why, fd, "no cgroup v2 hierarchy is mounted here, and it cannot be: %s",
				      strerror(-detached));
	if (fd == -EXDEV)
		return sentence_error(why, fd, "cgroup %s is not the root of the hierarchy", path);
	return sentence_error(why, fd, "cgroup %s: %s", path, strerror(-fd));
}
