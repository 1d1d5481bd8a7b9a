// SPDX-License-Identifier: BSD-2-Clause
/*
 * The fourth stage: seccomp. Lists the system calls that each kind of process needs, some only with certain arguments.
 * Owns nothing. Main thread of a process, once.
 *
 * Any other call fails with ENOSYS instead of killing the process: a libc newer than this list then does what it does
 * on an older kernel, and no session is lost. An attacker in the process gains nothing from that.
 */
#include "system/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "base/log.h"
#include "system/sandbox_sockets.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define MAIN    SANDBOX_MAIN
#define WORKERS SANDBOX_WORKERS
#define HELPER  SANDBOX_HELPER
#define ALL     (MAIN | WORKERS | HELPER)

/* Allowed with any arguments. */
static const struct {
	unsigned int roles;
	const char *names[32];
} plain[] = {
	/* messages; socket() and the options are in sandbox_sockets.c */
	{ALL,
	 {"poll", "ppoll", "ppoll_time64", "epoll_wait", "epoll_pwait", "bind", "connect", "getpeername", "getsockname",
	  "recv", "recvfrom", "recvmsg", "send", "sendto", "sendmsg", "close"}},
	{ALL,
	 {"restart_syscall", "clock_gettime", "clock_gettime64", "rt_sigreturn", "sigreturn", "exit", "exit_group"}},
	/* loops, connections */
	{MAIN | WORKERS,
	 {"epoll_create1", "epoll_ctl", "epoll_pwait2", "eventfd2", "accept", "accept4", "recvmmsg", "recvmmsg_time64",
	  "sendmmsg", "shutdown", "read", "readv", "write", "writev", "pwritev2", "fstat", "fstat64", "lseek",
	  "_llseek"}},
	/* threads, time, memory; see allow_memory() */
	{MAIN | WORKERS,
	 {"futex",
	  "futex_time64",
	  "sched_yield",
	  "sched_getaffinity",
	  "nanosleep",
	  "clock_nanosleep",
	  "clock_nanosleep_time64",
	  "gettimeofday",
	  "time",
	  "set_robust_list",
	  "rseq",
	  "gettid",
	  "getpid",
	  "getppid",
	  "rt_sigaction",
	  "rt_sigprocmask",
	  "sigaltstack",
	  "munmap",
	  "mremap",
	  "brk",
	  "madvise",
	  "getrandom",
	  "uname",
	  "sysinfo",
	  "getrusage",
	  "membarrier"}},
	/* listeners of a reload; users; the end of the command */
	{MAIN, {"listen", "signalfd4", "getuid", "geteuid", "getgid", "getegid", "wait4", "waitid"}},
	/* files: /proc, the configuration, the resolver's; Landlock limits which */
	{MAIN,
	 {"open",   "openat",   "pread64",    "stat",       "stat64",    "lstat",  "lstat64", "newfstatat", "fstatat64",
	  "statx",  "readlink", "readlinkat", "getdents64", "getcwd",    "dup",    "dup2",    "dup3",       "pipe2",
	  "unlink", "unlinkat", "rename",     "renameat",   "renameat2", "fchmod", "umask"}},
	/* /proc; without a path that it may open, the helper learns no more than whether a file exists */
	{MAIN | HELPER, {"access", "faccessat", "faccessat2"}},
};

/*
 * Reading and writing maps; and running programs that are loaded already: those that find listeners
 * (steering/find_listeners.c), count pending connections (steering/load.c), give the kernel a packet
 * (steering/inject.c), or tell whose a listener is (steering/listener_owner.c). Nothing can be loaded, created or
 * pinned; only the helper attaches. Closing a descriptor detaches or unloads.
 */
static const struct {
	unsigned int roles, command;
} bpf_commands[] = {
	{ALL, BPF_MAP_LOOKUP_ELEM},
	{ALL, BPF_MAP_UPDATE_ELEM},
	{ALL, BPF_MAP_DELETE_ELEM},
	{MAIN | WORKERS, BPF_MAP_LOOKUP_AND_DELETE_ELEM},
	{MAIN | WORKERS, BPF_MAP_GET_NEXT_KEY},
	{ALL, BPF_PROG_TEST_RUN},
	{MAIN, BPF_OBJ_GET_INFO_BY_FD},
	{MAIN, BPF_ITER_CREATE},
	{HELPER, BPF_LINK_CREATE},
};

/* SIOCOUTQ (= TIOCOUTQ): bytes in a send buffer. isatty(), if_nametoindex() and system/link.c use the others. */
static const struct {
	unsigned int roles, request;
} ioctls[] = {
	{MAIN | WORKERS, SIOCOUTQ}, {MAIN | WORKERS, FIONREAD},   {MAIN | WORKERS, TCGETS},
	{MAIN, SIOCGIFINDEX},       {MAIN | HELPER, SIOCGIFNAME}, {HELPER, SIOCGIFHWADDR},
};

/* Not F_SETFL: others share the flags. Not F_SETOWN: a socket's signals need no kill(). */
static const unsigned int fcntls[] = {F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL};

/* A call that this architecture or libseccomp does not know needs no rule. */
static int syscall_number(const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	return number < 0 ? __NR_SCMP_ERROR : number;
}

static int seccomp_allow(scmp_filter_ctx filter, const char *name, unsigned int count,
			 const struct scmp_arg_cmp *arguments)
{
	int number = syscall_number(name);

	return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, arguments);
}

/* Allows the call `name` with `value` in the bits `mask` of an argument. */
static int seccomp_allow_masked(scmp_filter_ctx filter, const char *name, unsigned int argument, uint64_t mask,
				uint64_t value)
{
	struct scmp_arg_cmp compare = {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

	return seccomp_allow(filter, name, 1, &compare);
}

static int allow_plain(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	int error = 0;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		for (size_t j = 0; !error && plain[i].roles & sandbox->roles && plain[i].names[j]; j++)
			error = seccomp_allow(filter, plain[i].names[j], 0, NULL);
	return error;
}

/* For arguments of 32 bits: the upper half of the register may hold anything. */
static int seccomp_allow_value(scmp_filter_ctx filter, const char *name, unsigned int argument, uint32_t value)
{
	return seccomp_allow_masked(filter, name, argument, UINT32_MAX, value);
}

/* Memory is writable or executable, never both, and written memory never becomes executable. */
static int allow_memory(scmp_filter_ctx filter)
{
	static const char *const maps[] = {"mmap", "mmap2"};
	int error = seccomp_allow_masked(filter, "mprotect", 2, PROT_EXEC, 0);

	for (size_t i = 0; !error && i < sizeof(maps) / sizeof(maps[0]); i++) {
		error = seccomp_allow_masked(filter, maps[i], 2, PROT_EXEC, 0);
		if (!error)
			error = seccomp_allow_masked(filter, maps[i], 2, PROT_WRITE | PROT_EXEC, PROT_EXEC);
	}
	return error;
}

/* Threads, not processes. The filter cannot see the flags of clone3(): after ENOSYS libc uses clone(). */
static int allow_threads(scmp_filter_ctx filter)
{
	uint64_t flags = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
	int error = seccomp_allow_masked(filter, "clone", 0, flags, flags);

	if (!error) /* thread names */
		error = seccomp_allow_value(filter, "prctl", 0, PR_SET_NAME);
	if (!error) /* malloc() of newer libcs names its memory */
		error = seccomp_allow_value(filter, "prctl", 0, PR_SET_VMA);
	return error;
}

/* Signals to the command, the workers and this process (abort()); reading limits; BPF maps; ioctls. */
static int allow_others(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	struct scmp_arg_cmp only_read = SCMP_A2(SCMP_CMP_EQ, 0);
	int error = 0;

	if (sandbox->roles & (MAIN | WORKERS))
		error = seccomp_allow_value(filter, "tgkill", 0, (uint32_t)getpid());
	if (!error && sandbox->child)
		error = seccomp_allow_value(filter, "kill", 0, (uint32_t)sandbox->child);
	if (!error && sandbox->workers)
		error = seccomp_allow_value(filter, "kill", 0, (uint32_t)sandbox->workers);
	if (!error && sandbox->roles & (MAIN | WORKERS))
		error = seccomp_allow(filter, "prlimit64", 1, &only_read);
	for (size_t i = 0; !error && i < sizeof(bpf_commands) / sizeof(bpf_commands[0]); i++)
		if (sandbox->roles & bpf_commands[i].roles)
			error = seccomp_allow_value(filter, "bpf", 0, bpf_commands[i].command);
	for (size_t i = 0; !error && sandbox->roles & (MAIN | WORKERS) && i < sizeof(fcntls) / sizeof(fcntls[0]); i++) {
		error = seccomp_allow_value(filter, "fcntl", 1, fcntls[i]);
		if (!error)
			error = seccomp_allow_value(filter, "fcntl64", 1, fcntls[i]);
	}
	for (size_t i = 0; !error && i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
		if (sandbox->roles & ioctls[i].roles)
			error = seccomp_allow_value(filter, "ioctl", 1, ioctls[i].request);
	return error;
}

static int load_filter(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (!error) /* report the kernel's errors unchanged */
		error = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (!error) /* a tree instead of a list: a few comparisons per call, not a hundred */
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!error)
		error = allow_plain(sandbox, filter);
	if (!error)
		error = sandbox_allow_sockets(sandbox, filter);
	if (!error && sandbox->roles & (MAIN | WORKERS))
		error = allow_memory(filter);
	if (!error && sandbox->roles & (MAIN | WORKERS))
		error = allow_threads(filter);
	if (!error)
		error = allow_others(sandbox, filter);
	return error ? error : seccomp_load(filter);
}

/* EFAULT, for the NULL filter, means that the kernel supports filters. */
static bool kernel_has_filters(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno == EFAULT;
}

bool sandbox_calls_possible(struct sandbox_report *report)
{
#ifdef __SANITIZE_ADDRESS__
	/*
	 * LeakSanitizer creates a process that stops the threads with ptrace(). Such a build is for tests alone, and
	 * reports what the others do.
	 */
	log_debug("sandbox: system calls: not limited in a sanitizer build");
	sandbox_report_set(report, SANDBOX_CALLS, true, "seccomp");
	return false;
#endif
	if (!kernel_has_filters()) {
		sandbox_report_set(report, SANDBOX_CALLS, false, "no seccomp filters in this kernel or container (%s)",
				   strerror(errno));
		return false;
	}
	sandbox_report_set(report, SANDBOX_CALLS, true, "seccomp");
	return true;
}

int sandbox_calls(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	scmp_filter_ctx filter;
	int error;

	if (!sandbox_calls_possible(report))
		return 0;
	filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	error = filter ? load_filter(sandbox, filter) : -ENOMEM;
	if (filter)
		seccomp_release(filter);
	if (error)
		sentence_set(why, "system calls: seccomp: %s", strerror(-error));
	return error;
}
