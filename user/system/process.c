// SPDX-License-Identifier: BSD-2-Clause
/* Processes in /proc: see process.h. Owns nothing. Main thread. */
#include "system/process.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/timer.h"

#define SEARCH_MS 100 /* of CPU time: a machine may have many processes, and a name is not worth more */

/* Of this thread: on a busy machine the search takes longer, and not less of it is done. */
static uint64_t cpu_time_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

const char *process_name(unsigned int pid, char *out, size_t size)
{
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	file = fopen(path, "re");
	if (file) {
		if (!fgets(name, sizeof(name), file))
			name[0] = '\0';
		fclose(file);
	}
	name[strcspn(name, "\n")] = '\0';
	for (char *c = name; *c; c++) /* a process chooses its name, which may hold escape sequences */
		if (!isprint((unsigned char)*c))
			*c = '?';
	snprintf(out, size, "%s (pid %u)", *name ? name : "a process", pid);
	return out;
}

static bool holds_socket(const char *pid, const unsigned long *inodes, unsigned int count, uint64_t until)
{
	char path[PATH_MAX], link[64];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!found && cpu_time_us() < until && (entry = readdir(fds))) {
		unsigned long inode;
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

		if (length <= 0)
			continue;
		link[length] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) != 1)
			continue;
		for (unsigned int i = 0; i < count; i++)
			found = found || inodes[i] == inode;
	}
	closedir(fds);
	return found;
}

bool process_find_holder(const unsigned long *inodes, unsigned int count, char *out, size_t size)
{
	uint64_t until = cpu_time_us() + SEARCH_MS * US_PER_MS;
	DIR *proc = count ? opendir("/proc") : NULL;
	struct dirent *entry;
	bool found = false;

	if (!proc)
		return false;
	/* The kernel lists processes in the order of their pids. */
	while (!found && cpu_time_us() < until && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) || !holds_socket(entry->d_name, inodes, count, until))
			continue;
		process_name((unsigned int)strtoul(entry->d_name, NULL, 10), out, size);
		found = true;
	}
	closedir(proc);
	return found;
}

unsigned int process_descriptors(void)
{
	struct stat status;
	unsigned int count = 0;
	DIR *directory;

	/* Since Linux 6.2 the size of this directory is the number of descriptors. */
	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (unsigned int)status.st_size;
	directory = opendir("/proc/self/fd");
	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count > 3 ? count - 3 : 0; /* . and .., and the directory itself */
}
