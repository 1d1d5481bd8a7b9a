// SPDX-License-Identifier: BSD-2-Clause
/*
 * Drops privileges in stages, after ports are bound, BPF programs are attached and the command is started (which keeps
 * its own privileges), but before any worker runs, and so before a client's first byte is read:
 *
 *   0. user              root becomes another user (system/user.h), and keeps its capabilities for stage 2
 *   1. no_new_privs      nothing that is executed can bring privileges back; nobody but root may look into the process
 *   2. capabilities      ambient, bounding (with CAP_SETPCAP), then effective, permitted and inheritable; a process
 *                        that must not outlive its parent asks for that now
 *   3. files             sandbox_files.c: Landlock; main may read some folders, and write only to those named
 *   4. system calls      sandbox_calls.c: seccomp; only what processes of its roles use
 *
 * The order is forced: 0 and emptying the bounding set need capabilities, 3 and 4 need no_new_privs, and 4 forbids the
 * calls of the others. Each stage applies to the calling thread: at this point the main thread is the only one, and
 * threads created later inherit the stages. Owns nothing.
 */
#include "system/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "system/capabilities.h"

/* /proc has a folder per thread; 1 if it cannot be read. */
static unsigned long count_threads(void)
{
	struct stat status;

	return stat("/proc/self/task", &status) == 0 && status.st_nlink > 2 ? status.st_nlink - 2 : 1;
}

static void report_user(const struct user *user, struct sandbox_report *report)
{
	char name[USER_TEXT_MAX];

	sandbox_report_set(report, SANDBOX_USER, user ? user->uid != 0 : geteuid() != 0, "%s",
			   user ? user_text(user, name, sizeof(name)) : "unchanged");
}

static int stage_user(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	int error = sandbox->user && sandbox->user->changes ? user_become(sandbox->user) : 0;

	report_user(sandbox->user, report);
	return error ? sentence_error(why, error, "user: %s", strerror(-error)) : 0;
}

/* Not dumpable: another process of the same user cannot read or write this one's memory, and there is no core file. */
static int stage_no_new_privs(struct sentence *why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
		return 0;
	return sentence_error(why, -errno, "no_new_privs: %s", strerror(errno));
}

/* The bounding set limits executed programs, and none is executed after this: without CAP_SETPCAP it may stay. */
static int empty_bounding_set(struct sentence *why)
{
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
		int error;

		if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 0 ||
		    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
			continue;
		error = -errno;
		if (error == -EPERM) {
			log_info(
				"sandbox: the capability bounding set stays as it is without CAP_SETPCAP; nothing can use it, because nothing can be executed");
			return 0;
		}
		return sentence_error(why, error, "capabilities: bounding set: %s", strerror(-error));
	}
	return 0;
}

static int stage_capabilities(uint64_t keep, struct sandbox_report *report, struct sentence *why)
{
	char names[CAPABILITIES_TEXT_MAX];
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int error;

	error = empty_bounding_set(why);
	if (error)
		return error;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) || syscall(SYS_capget, &header, data))
		goto fail;
	for (unsigned int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		data[word].permitted &= (uint32_t)(keep >> 32 * word);
		data[word].effective = data[word].permitted;
		data[word].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data))
		goto fail;
	sandbox_report_set(
		report, SANDBOX_CAPABILITIES, true, "%s",
		capabilities_list((uint64_t)data[1].permitted << 32 | data[0].permitted, names, sizeof(names)));
	return 0;
fail:
	return sentence_error(why, -errno, "capabilities: %s", strerror(errno));
}

/* After the change of the user, which would undo it. */
static int stage_parent(pid_t parent, struct sentence *why)
{
	if (!parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return sentence_error(why, -errno, "PR_SET_PDEATHSIG: %s", strerror(errno));
	return getppid() == parent ? 0 : sentence_error(why, -ESRCH, "the main process has ended");
}

void sandbox_foresee(const struct sandbox *sandbox, struct sandbox_report *report)
{
	*report = (struct sandbox_report){0};
	report_user(sandbox->user, report);
	sandbox_report_set(report, SANDBOX_CAPABILITIES, true, "dropped");
	sandbox_files_possible(report);
	sandbox_calls_possible(report);
}

int sandbox_enter(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	unsigned long count = count_threads();
	int error;

	*report = (struct sandbox_report){0};
	if (count > 1) {
		return sentence_error(why, -EBUSY, "%lu threads already run and would keep their privileges", count);
	}
	error = stage_user(sandbox, report, why);
	if (!error)
		error = stage_no_new_privs(why);
	if (!error)
		error = stage_capabilities(sandbox->capabilities, report, why);
	if (!error)
		error = stage_parent(sandbox->parent, why);
	if (!error)
		error = sandbox_files(sandbox, report, why);
	if (!error)
		error = sandbox_calls(sandbox, report, why);
	return error;
}
