// SPDX-License-Identifier: BSD-2-Clause
/* The user of this process: see user.h. Owns nothing. Main thread, while it is the only one. */
#include "system/user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/capabilities.h"

#define GROUPS_MAX 1024
/* For a machine without the user alpnbpf: uids that neither Debian nor an administrator assigns to anybody. */
#define UNNAMED_FIRST 65443
#define UNNAMED_LAST  65519

void user_look_up_in_files(void)
{
#ifdef ALPNBPF_STATIC
	/* As for host names, in base/address.c. */
	__nss_configure_lookup("passwd", "files");
	__nss_configure_lookup("group", "files");
	__nss_configure_lookup("initgroups", "files");
#endif
}

static void take_account(struct user *user, const struct passwd *account)
{
	user->uid = account->pw_uid;
	user->gid = account->pw_gid;
	snprintf(user->name, sizeof(user->name), "%s", account->pw_name);
}

/* A name, or a number, which needs no account. */
static bool find_account(struct user *user, const char *text)
{
	const struct passwd *account = getpwnam(text);
	unsigned long number;
	char *end;

	if (!account) {
		number = strtoul(text, &end, 10);
		if (*text < '0' || *text > '9' || *end || number >= (uid_t)-1)
			return false;
		user->uid = (uid_t)number;
		user->gid = (gid_t)number;
		account = getpwuid((uid_t)number);
	}
	if (account)
		take_account(user, account);
	return true;
}

static bool find_unnamed(struct user *user)
{
	for (uid_t uid = UNNAMED_FIRST; uid <= UNNAMED_LAST; uid++) {
		if (getpwuid(uid) || getgrgid(uid))
			continue;
		user->uid = uid;
		user->gid = uid;
		user->name[0] = '\0';
		return true;
	}
	return false;
}

/* The change of the user made the permitted capabilities ineffective. */
static int make_effective(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (unsigned int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++)
		data[word].effective = data[word].permitted;
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int user_become(const struct user *user)
{
	gid_t groups[GROUPS_MAX] = {user->gid};
	int count = GROUPS_MAX;

	if (!*user->name)
		count = 1;
	else if (getgrouplist(user->name, user->gid, groups, &count) < 0)
		count = GROUPS_MAX;
	if (setgroups((size_t)count, groups) || setresgid(user->gid, user->gid, user->gid) ||
	    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(user->uid, user->uid, user->uid))
		return -errno;
	return make_effective();
}

/* In a child process, because half of a change cannot always be undone. 0 or -errno. */
static int try_to_become(const struct user *user)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(-user_become(user));
	while (child > 0 && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			child = -1;
	if (child < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static void stay(struct user *user)
{
	user->uid = 0;
	user->gid = getegid();
	snprintf(user->name, sizeof(user->name), "root");
	user->changes = false;
}

/* What keeps root from becoming another user. */
static const char *explain(int error, char *out, size_t size)
{
	uint64_t wanted = CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID);
	char names[CAPABILITIES_TEXT_MAX];

	if (error == -EINVAL)
		snprintf(out, size, "this user namespace has no such user; map it, or start alpnbpf as another user");
	else if (error == -EPERM && !capabilities_missing(wanted, names, sizeof(names)))
		snprintf(out, size, "this user namespace or container forbids it; start alpnbpf as another user");
	else
		capabilities_strerror(error, wanted, out, size);
	return out;
}

/* This process is not root, and cannot change its user. */
static int check_own(struct user *user, const char *wanted, struct sentence *why)
{
	const struct passwd *account = getpwuid(geteuid());
	struct user other = {0};

	user->uid = geteuid();
	user->gid = getegid();
	if (account)
		snprintf(user->name, sizeof(user->name), "%s", account->pw_name);
	if (!*wanted || (find_account(&other, wanted) && other.uid == user->uid))
		return 0;
	return sentence_error(why, -EPERM,
			      "--user %s: only root can run as another user, and this is uid %u; leave out --user",
			      wanted, (unsigned int)user->uid);
}

int user_decide(struct user *user, const char *wanted, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	int error;

	*user = (struct user){0};
	user_look_up_in_files();
	if (geteuid() != 0)
		return check_own(user, wanted, why);
	if (*wanted && !find_account(user, wanted))
		return sentence_error(why, -ENOENT, "--user %s: no such user", wanted);
	if (!*wanted && !find_account(user, USER_BY_DEFAULT) && !find_unnamed(user)) {
		sentence_set(&user->warning, "staying root, because there is no user alpnbpf"
					     "; create it (useradd --system alpnbpf), or choose one with --user");
		stay(user);
		return 0;
	}
	user->changes = user->uid != 0;
	error = user->changes ? try_to_become(user) : 0;
	if (error && *wanted)
		return sentence_error(why, error, "--user %s: cannot run as this user: %s", wanted,
				      explain(error, text, sizeof(text)));
	if (error) {
		sentence_set(&user->warning, "staying root, because it cannot become another user: %s",
			     explain(error, text, sizeof(text)));
		stay(user);
	} else if (!*wanted && !*user->name) {
		sentence_set(&user->warning,
			     "there is no user alpnbpf, so uid %u, which has no name, is used instead"
			     "; create it (useradd --system alpnbpf), or choose one with --user",
			     (unsigned int)user->uid);
	}
	return 0;
}

const char *user_text(const struct user *user, char *out, size_t size)
{
	if (*user->name)
		snprintf(out, size, "%s", user->name);
	else
		snprintf(out, size, "uid %u", (unsigned int)user->uid);
	return out;
}
