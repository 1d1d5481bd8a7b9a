// SPDX-License-Identifier: BSD-2-Clause
/*
 * The third stage: Landlock. Open files stay open. After it, main can read only what a reload, the resolver and
 * messages about ports need, write only to its own folders, and execute nothing. The other processes have no file, can
 * bind no port but one that the kernel chooses (the workers), and reach no process outside by a signal or an abstract
 * unix socket. Owns nothing. Main thread of a process, once.
 */
#include "system/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stddef.h>
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

#define PORTS_VERSION   4
#define SCOPES_VERSION  6
#define NET_BIND_TCP    (1ULL << 0)
#define SCOPE_ABSTRACT  (1ULL << 0)
#define SCOPE_SIGNAL    (1ULL << 1)
#define RULE_NET_PORT   2
#define SIZE_OF_PORTS   offsetof(struct attributes, scoped)
#define SIZE_OF_FOLDERS offsetof(struct attributes, ports)

/* struct landlock_ruleset_attr: an older kernel wants only its beginning. */
struct attributes {
	uint64_t files, ports, scoped;
};

struct net_port_attr {
	uint64_t allowed, port;
};

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

/* What does not exist or cannot be reached needs no rule: opening it fails anyway. */
static int landlock_allow(int ruleset, const char *path, int flags, uint64_t rights, struct sentence *why)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights};
	int error = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC | flags);
	if (rule.parent_fd < 0) {
		log_debug("sandbox: files: no rule for %s: %s", path, strerror(errno));
		return 0;
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0)) {
		error = -errno;
		sentence_set(why, "files: %s: %s", path, strerror(-error));
	}
	close(rule.parent_fd);
	if (!error)
		log_debug("sandbox: files: %s %s", rights & ~READING ? "may read and write" : "may read", path);
	return error;
}

static int landlock_allow_folder(int ruleset, const char *folder, uint64_t rights, struct sentence *why)
{
	return landlock_allow(ruleset, folder, O_DIRECTORY, rights, why);
}

/*
 * The folder that holds a file, links resolved: a file may be replaced by another of the same name. Root could read all
 * of /etc: there, the file alone.
 */
static int landlock_allow_around(int ruleset, const char *file, struct sentence *why)
{
	char path[PATH_MAX], *slash;

	if (!realpath(file, path)) {
		log_debug("sandbox: files: no rule for %s: %s", file, strerror(errno));
		return 0;
	}
	slash = strrchr(path, '/');
	if (geteuid() == 0 && slash == path + 4 && strncmp(path, "/etc", 4) == 0)
		return landlock_allow(ruleset, path, 0, LANDLOCK_ACCESS_FS_READ_FILE, why);
	slash[slash == path] = '\0';
	return landlock_allow_folder(ruleset, path, READING, why);
}

/*
 * What libc reads to look up names of machines and users. A file may be replaced, and then a rule for the file would
 * not hold: so another user may read the folder, of which that user can read what everybody can. Root may read these
 * alone.
 */
static int allow_etc(int ruleset, struct sentence *why)
{
	static const char *const files[] = {"/etc/hosts",       "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
					    "/etc/services",    "/etc/protocols", "/etc/passwd",        "/etc/group",
					    "/etc/ld.so.cache", "/etc/localtime"};
	int error = 0;

	if (geteuid() != 0)
		return landlock_allow_folder(ruleset, "/etc", READING, why);
	for (size_t i = 0; !error && i < sizeof(files) / sizeof(files[0]); i++)
		error = landlock_allow(ruleset, files[i], 0, LANDLOCK_ACCESS_FS_READ_FILE, why);
	return error;
}

static int add_files(const struct sandbox *sandbox, int ruleset, uint64_t handled, struct sentence *why)
{
	/* /lib and the like are links into /usr, or folders if /usr is not merged. */
	static const char *const read[] = {"/usr", "/lib", "/lib32", "/lib64", "/proc", "/sys"};
	int error = allow_etc(ruleset, why);

	for (size_t i = 0; !error && i < sizeof(read) / sizeof(read[0]); i++)
		error = landlock_allow_folder(ruleset, read[i], READING, why);
	if (!error) /* often a link into /run */
		error = landlock_allow_around(ruleset, "/etc/resolv.conf", why);
	if (!error && sandbox->config)
		error = landlock_allow_around(ruleset, sandbox->config, why);
	for (int i = 0; !error && i < SANDBOX_WRITABLE_MAX; i++)
		if (sandbox->writable[i])
			error = landlock_allow_folder(ruleset, sandbox->writable[i],
						      (WRITING | LANDLOCK_ACCESS_FS_TRUNCATE) & handled, why);
	return error;
}

static int add_rules(const struct sandbox *sandbox, int ruleset, const struct attributes *handled, struct sentence *why)
{
	struct net_port_attr any = {.allowed = NET_BIND_TCP, .port = 0}; /* the kernel chooses */

	if (handled->ports && syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &any, 0))
		return sentence_error(why, -errno, "files: Landlock: ports: %s", strerror(errno));
	if (sandbox->roles & SANDBOX_MAIN)
		return add_files(sandbox, ruleset, handled->files, why);
#ifdef __SANITIZE_ADDRESS__
	/* LeakSanitizer looks for the threads of the process when that ends. Such a build is for tests alone. */
	return landlock_allow_folder(ruleset, "/proc", READING, why);
#else
	return 0;
#endif
}

/* The helper binds the web server's ports; transparent sessions, their clients'. Main signals the others. */
static struct attributes attributes_of(const struct sandbox *sandbox, long version)
{
	return (struct attributes){
		.files = rights_of(version),
		.ports = sandbox->roles == SANDBOX_WORKERS && !sandbox->transparent ? NET_BIND_TCP : 0,
		.scoped = sandbox->roles & SANDBOX_MAIN ? 0 : SCOPE_ABSTRACT | SCOPE_SIGNAL,
	};
}

static int make_ruleset(struct attributes *handled, long version)
{
	size_t size = version >= SCOPES_VERSION  ? sizeof(*handled)
		      : version >= PORTS_VERSION ? SIZE_OF_PORTS
						 : SIZE_OF_FOLDERS;

	if (version < PORTS_VERSION)
		handled->ports = 0;
	return (int)syscall(SYS_landlock_create_ruleset, handled, size, 0);
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
		sandbox_report_set(report, SANDBOX_FILES, true, "Landlock version %ld%s", version,
				   version < PORTS_VERSION    ? ", which limits no ports and no signals"
				   : version < SCOPES_VERSION ? ", which limits no signals"
							      : "");
	return version >= 1;
}

int sandbox_files(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	long version = landlock_version();
	struct attributes handled = attributes_of(sandbox, version);
	int ruleset, error;

	if (!sandbox_files_possible(report))
		return 0;
	ruleset = make_ruleset(&handled, version);
	if (ruleset < 0)
		return sentence_error(why, -errno, "files: Landlock: %s", strerror(errno));
	error = add_rules(sandbox, ruleset, &handled, why);
	if (!error && syscall(SYS_landlock_restrict_self, ruleset, 0)) {
		error = -errno;
		sentence_set(why, "files: Landlock: %s", strerror(-error));
	}
	close(ruleset);
	return error;
}
