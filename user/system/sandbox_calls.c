// SPDX-License-Identifier: BSD-2-Clause
/*
 * The fourth stage: seccomp. Lists the system calls that running, reloading and ending need, some only with certain
 * arguments. Owns nothing. Main thread, once.
 *
 * Any other call fails with ENOSYS instead of killing the process: a libc newer than this list then does what it does
 * on an older kernel, and no session is lost. An attacker in the process gains nothing from that.
 */
#include "system/sandbox.h"

#include <errno.h>
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

/* Allowed with any arguments. */
static const char *const plain[] = {
	/* waiting and waking: the loops of the workers and the main thread */
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "ppoll_time64",
	"eventfd2", "signalfd4", "futex", "futex_time64", "restart_syscall", "sched_yield", "nanosleep",
	"clock_nanosleep", "clock_nanosleep_time64", "clock_gettime", "clock_gettime64", "gettimeofday", "time",
	/* connections; socket() and the options are in sandbox_sockets.c */
	"accept", "accept4", "bind", "connect", "listen", "getpeername", "getsockname", "recv", "recvfrom", "recvmsg",
	"recvmmsg", "recvmmsg_time64", "send", "sendto", "sendmsg", "sendmmsg", "shutdown",
	/* files: /proc, the configuration, the resolver's; Landlock limits which */
	"open", "openat", "close", "read", "readv", "pread64", "write", "writev", "pwritev2", "lseek", "_llseek",
	"stat", "stat64", "fstat", "fstat64", "lstat", "lstat64", "newfstatat", "fstatat64", "statx", "access",
	"faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "dup", "dup2", "dup3", "pipe2",
	"fcntl", "fcntl64", "unlink", "unlinkat", "rename", "renameat", "renameat2", "fchmod", "umask",
	/* memory, and the libraries that a name look-up loads; see allow_memory() */
	"munmap", "mremap", "brk", "madvise",
	/* threads, signals, the end of the command */
	"set_robust_list", "rseq", "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid",
	"sched_getaffinity", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "wait4",
	"waitid", "exit", "exit_group",
	/* called by libc itself */
	"getrandom", "uname", "sysinfo", "getrusage", "membarrier"};

/*
 * Reading and writing maps; and running the programs that find listeners (steering/find_listeners.c) and count pending
 * connections (steering/load.c), which are loaded already. Nothing can be loaded, created, pinned or attached; closing
 * a descriptor detaches or unloads.
 */
static const unsigned int bpf_commands[] = {
	BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,    BPF_MAP_LOOKUP_AND_DELETE_ELEM,
	BPF_MAP_GET_NEXT_KEY, BPF_PROG_TEST_RUN,   BPF_OBJ_GET_INFO_BY_FD, BPF_ITER_CREATE};

/* SIOCOUTQ (= TIOCOUTQ): bytes in a send buffer. isatty() and if_nametoindex() use the others. */
static const unsigned int ioctls[] = {SIOCOUTQ, FIONREAD, TCGETS, SIOCGIFINDEX, SIOCGIFNAME};

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

/* Signals to the command and to this process (abort()); reading limits; BPF maps; ioctls. */
static int allow_others(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	struct scmp_arg_cmp only_read = SCMP_A2(SCMP_CMP_EQ, 0);
	int error = seccomp_allow_value(filter, "tgkill", 0, (uint32_t)getpid());

	if (!error && sandbox->child)
		error = seccomp_allow_value(filter, "kill", 0, (uint32_t)sandbox->child);
	if (!error)
		error = seccomp_allow(filter, "prlimit64", 1, &only_read);
	for (size_t i = 0; !error && i < sizeof(bpf_commands) / sizeof(bpf_commands[0]); i++)
		error = seccomp_allow_value(filter, "bpf", 0, bpf_commands[i]);
	for (size_t i = 0; !error && i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
		error = seccomp_allow_value(filter, "ioctl", 1, ioctls[i]);
	return error;
}

static int load_filter(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (!error) /* report the kernel's errors unchanged */
		error = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (!error) /* a tree instead of a list: a few comparisons per call, not a hundred */
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !error && i < sizeof(plain) / sizeof(plain[0]); i++)
		error = seccomp_allow(filter, plain[i], 0, NULL);
	if (!error)
		error = sandbox_allow_sockets(sandbox, filter);
	if (!error)
		error = allow_memory(filter);
	if (!error)
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
	else
		log_debug("sandbox: system calls: %zu allowed, and a few more with certain arguments",
			  sizeof(plain) / sizeof(plain[0]));
	return error;
}
