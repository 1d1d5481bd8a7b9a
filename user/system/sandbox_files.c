// SPDX-License-Identifier: BSD-2-Clause
/*
 * The third stage: Landlock. Files that are open stay open. From now on files are read in the folders that a reload,
 * the resolver and messages about ports need, and written in folders of ours. Nothing can be executed. Owns nothing.
 * Main thread, once.
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

/* Rights and calls that the headers of Debian 12 may not have. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define RIGHTS_OF_1 (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1) /* the first 13 */
#define READING     (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Sockets and small files are made and removed there; TRUNCATE is added where it is a separate right. */
#define WRITING                                                                                                        \
	(READING | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |      \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK)

/* The rights that a version of the interface knows, and so denies where no rule grants them. */
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

/* A folder that does not exist, or cannot be reached, needs no rule: opening files there fails as it did before. */
static int landlock_allow(int ruleset, const char *folder, uint64_t rights, struct sentence *why)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights};
	int error = 0;

	rule.parent_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd < 0) {
		log_debug("sandbox: %s: %s; left out", folder, strerror(errno));
		return 0;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0)) {
		error = -errno;
		sentence_set(why, "files: %s: %s", folder, strerror(-error));
	}
	close(rule.parent_fd);
	if (!error)
		log_debug("sandbox: files: %s: %s", folder, rights == READING ? "read" : "read and written");
	return error;
}

/* The folder a file is in, following links: files are replaced by others of their name. */
static int landlock_allow_around(int ruleset, const char *file, struct sentence *why)
{
	char path[PATH_MAX], *slash;

	if (!realpath(file, path)) {
		log_debug("sandbox: %s: %s; left out", file, strerror(errno));
		return 0;
	}
	slash = strrchr(path, '/');
	slash[slash == path] = '\0';
	return landlock_allow(ruleset, path, READING, why);
}

static int add_rules(const struct sandbox *sandbox, int ruleset, uint64_t handled, struct sentence *why)
{
	/* /lib and its like are links into /usr, or folders where the two are not one. */
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

int sandbox_files(const struct sandbox *sandbox, struct sentence *why)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	/* Members that later headers have are not used, and so neither is the size they give it. */
	struct {
		uint64_t handled_access_fs;
	} attributes;
	int ruleset, error;

	if (version < 1) { /* not built in, not enabled, or withheld by a container */
		log_debug("sandbox: files: no Landlock here: %s", strerror(errno));
		return 0;
	}
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
	if (!error)
		log_debug("sandbox: files: Landlock version %ld", version);
	return error;
}
