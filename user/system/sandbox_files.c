// SPDX-License-Identifier: BSD-2-Clause
/*
 * The third stage: Landlock. Open files stay open. After it, the process can read only the folders that a reload, the
 * resolver and messages about ports need, write only to its own folders, and execute nothing. Owns nothing. Main
 * thread, once.
 */
#include "system/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* Rights that the headers of Debian 12 may lack. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define RIGHTS_OF_1 (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1) /* the first 13 */
#define READING     (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* To create and remove sockets and small files; TRUNCATE is added if it is a right of its own. */
#define WRITING                                                                                                        \
	(READING | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |      \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK)

/* The rights that a version of the interface handles, and so denies unless a rule grants them. */
static uint64_t rights_of(long version)
{
	uint64_t rights = RIGHTS_OF_1;

	if (version >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 5)
		rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return rights;
}

/* A folder that does not exist or cannot be reached needs no rule: opening files in it fails anyway. */
static int landlock_allow(int ruleset, const char *folder, uint64_t rights, struct sentence *why)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights};
	int error = 0;

	rule.parent_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd < 0) {
		log_debug("sandbox: files: no rule for %s: %s", folder, strerror(errno));
		return 0;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0)) {
		error = -errno;
		sentence_set(why, "files: %s: %s", folder, strerror(-error));
	}
	close(rule.parent_fd);
	if (!error)
		log_debug("sandbox: files: %s %s", rights == READING ? "may read" : "may read and write", folder);
	return error;
}

/* The folder that holds a file, links resolved: a file may be replaced by another of the same name. */
static int landlock_allow_around(int ruleset, const char *file, struct sentence *why)
{
	char path[PATH_MAX], *slash;

	if (!realpath(file, path)) {
		log_debug("sandbox: files: no rule for %s: %s", file, strerror(errno));
		return 0;
	}
	slash = strrchr(path, '/');
	slash[slash == path] = '\0';
	return landlock_allow(ruleset, path, READING, why);
}

static int add_rules(const struct sandbox *sandbox, int ruleset, uint64_t handled, struct sentence *why)
{
	/* /lib and the like are links into /usr, or folders if /usr is not merged. */
	static const char *const read[] = {"/etc", "/usr", "/lib", "/lib32", "/lib64", "/proc", "/sys"};
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(read) / sizeof(read[0]); i++)
		error = landlock_allow(ruleset, read[i], READING, why);
	if (!error) /* often a link into /run */
		error = landlock_allow_around(ruleset, "/etc/resolv.conf", why);
	if (!error && sandbox->config)
		error = landlock_allow_around(ruleset, sandbox->config, why);
	for (int i = 0; !error && i < SANDBOX_WRITABLE_MAX; i++)
		if (sandbox->writable[i])
			error = landlock_allow(ruleset, sandbox->writable[i],
					       (WRITING | LANDLOCK_ACCESS_FS_TRUNCATE) & handled, why);
	return error;
}

/* Less than 1: not built in, not enabled, or forbidden by a container. */
static long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool sandbox_files_possible(struct sandbox_report *report)
{
	long version = landlock_version();

	if (version < 1)
		sandbox_report_set(report, SANDBOX_FILES, false, "no Landlock in this kernel or container (%s)",
				   strerror(errno));
	else
		sandbox_report_set(report, SANDBOX_FILES, true, "Landlock version %ld", version);
	return version >= 1;
}

int sandbox_files(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	long version = landlock_version();
	/* Only the first member: later headers have more, and a larger size that an older kernel may refuse. */
	struct {
		uint64_t handled_access_fs;
	} attributes;
	int ruleset, error;

	if (!sandbox_files_possible(report))
		return 0;
	attributes.handled_access_fs = rights_of(version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (ruleset < 0) {
		return sentence_error(why, -errno, "files: Landlock: %s", strerror(errno));
	}
	error = add_rules(sandbox, ruleset, attributes.handled_access_fs, why);
	if (!error && syscall(SYS_landlock_restrict_self, ruleset, 0)) {
		error = -errno;
		sentence_set(why, "files: Landlock: %s", strerror(-error));
	}
	close(ruleset);
	return error;
}
