// SPDX-License-Identifier: BSD-2-Clause
/* The run directory: see run_directory.h. Owns the text of its path. Main thread. */
#include "system/run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

const char *run_directory(void)
{
	static char first[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *given = getenv("RUNTIME_DIRECTORY"); /* several are separated by colons */

	if (!given || *given != '/')
		return "/run/alpnbpf";
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(given, ":"), given);
	return first;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), end = strlen(suffix);

	return length > end && strcmp(name + length - end, suffix) == 0;
}

/* Not somebody else's directory, such as /run, whose other files the group must not remove. */
static bool holds_only_ours(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	bool only = directory;

	while (only && (entry = readdir(directory)))
		only = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		       ends_with(entry->d_name, ".sock") || ends_with(entry->d_name, ".lock");
	if (directory)
		closedir(directory);
	return only;
}

int run_directory_make(gid_t group)
{
	const char *path = run_directory();
	gid_t own = getegid();
	struct stat status;
	int error = 0, fd;

	/* As a member of the group: then neither mkdir() nor fchown() needs CAP_CHOWN. */
	if (group != own && setegid(group))
		return -errno;
	/* Without a service manager we create it, but not its parent. */
	if (mkdir(path, 0755) && errno != EEXIST)
		error = -errno;
	fd = error || group == own ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == geteuid() && holds_only_ours(path) &&
	    fchown(fd, (uid_t)-1, group) == 0)
		fchmod(fd, (status.st_mode & 07777) | S_IRWXG);
	if (fd >= 0)
		close(fd);
	if (group != own && setegid(own) && !error)
		error = -errno;
	return error;
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
