// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the repair helper keeps (steering/repair_helper.h), in order: signals, descriptors, user, capabilities, system
 * calls. As in sandbox_calls.c, any other call fails with ENOSYS. Owns nothing. In the process of the helper, once.
 */
#include "system/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/capabilities.h"

#ifndef TCP_REPAIR_WINDOW
#define TCP_REPAIR_WINDOW 29
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static const char *const calls[] = {"poll",         "ppoll",       "ppoll_time64",  "recvmsg",
				    "sendmsg",      "recv",        "recvfrom",      "send",
				    "sendto",       "bind",        "connect",       "getsockname",
				    "getpeername",  "getsockopt",  "close",         "restart_syscall",
				    "rt_sigreturn", "sigreturn",   "exit",          "exit_group",
				    "epoll_wait",   "epoll_pwait", "clock_gettime", "clock_gettime64",
				    "access",       "faccessat",   "faccessat2"};

static const unsigned int bpf_commands[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
					    BPF_LINK_CREATE, BPF_PROG_TEST_RUN};

static const struct {
	int level, option;
} options[] = {{SOL_SOCKET, SO_REUSEADDR},        {SOL_SOCKET, SO_BINDTOIFINDEX},      {SOL_SOCKET, SO_MARK},
	       {IPPROTO_TCP, TCP_REPAIR},         {IPPROTO_TCP, TCP_REPAIR_QUEUE},     {IPPROTO_TCP, TCP_QUEUE_SEQ},
	       {IPPROTO_TCP, TCP_REPAIR_OPTIONS}, {IPPROTO_TCP, TCP_REPAIR_WINDOW},    {IPPROTO_TCP, TCP_TIMESTAMP},
	       {IPPROTO_IP, IP_OPTIONS},          {IPPROTO_IPV6, IPV6_2292PKTOPTIONS}, {IPPROTO_IP, IP_TRANSPARENT},
	       {IPPROTO_IPV6, IPV6_TRANSPARENT}};

static bool is_kept(int fd, const int *keep, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (keep[i] == fd)
			return true;
	return false;
}

static bool keep_descriptors(const int *keep, unsigned int count)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC), last = STDERR_FILENO;

	/* What the helper opens must not become its standard output. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (nothing < 0 || dup2(nothing, fd) < 0)
			return false;
	for (unsigned int i = 0; i < count; i++)
		last = keep[i] > last ? keep[i] : last;
	for (int fd = STDERR_FILENO + 1; fd <= last; fd++)
		if (!is_kept(fd, keep, count))
			close(fd);
	return syscall(SYS_close_range, (unsigned int)last + 1, ~0U, 0) == 0;
}

static bool drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint64_t keep = CAPABILITY(CAP_NET_ADMIN) | CAPABILITY(CAP_NET_BIND_SERVICE);

	/* Without CAP_SETPCAP the bounding set stays; no_new_privs makes it meaningless. */
	for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    syscall(SYS_capget, &header, data))
		return false;
	for (unsigned int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		data[word].permitted &= (uint32_t)(keep >> 32 * word);
		data[word].effective = data[word].permitted;
		data[word].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) == 0;
}

static int allow(scmp_filter_ctx filter, const char *name, unsigned int count, const struct scmp_arg_cmp *arguments)
{
	int number = seccomp_syscall_resolve_name(name);

	return number < 0 ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, arguments);
}

static int allow_calls(scmp_filter_ctx filter)
{
	static const uint32_t families[] = {AF_INET, AF_INET6};
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(calls) / sizeof(calls[0]); i++)
		error = allow(filter, calls[i], 0, NULL);
	for (size_t i = 0; !error && i < sizeof(families) / sizeof(families[0]); i++)
		error = allow(filter, "socket", 3,
			      (struct scmp_arg_cmp[]){SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, families[i]),
						      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM),
						      SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, IPPROTO_TCP)});
	for (size_t i = 0; !error && i < sizeof(options) / sizeof(options[0]); i++)
		error = allow(
			filter, "setsockopt", 2,
			(struct scmp_arg_cmp[]){SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)options[i].level),
						SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)options[i].option)});
	for (size_t i = 0; !error && i < sizeof(bpf_commands) / sizeof(bpf_commands[0]); i++)
		error = allow(filter, "bpf", 1,
			      (struct scmp_arg_cmp[]){SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, bpf_commands[i])});
	return error;
}

/* Without seccomp in this kernel or container, the main process says so (sandbox_calls.c). */
static bool limit_calls(void)
{
	scmp_filter_ctx filter;
	int error;

#ifdef __SANITIZE_ADDRESS__
	return true;
#endif
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno != EFAULT)
		return true;
	filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return false;
	error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!error)
		error = allow_calls(filter);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error == 0;
}

bool confine_helper(const struct user *user, const int *keep, unsigned int count)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
	pid_t parent = getppid();

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "alpnbpf-repair", 0, 0, 0);
	/* A change of credentials clears PR_SET_PDEATHSIG. */
	if (!keep_descriptors(keep, count) || (user && user->changes && user_become(user)) || !drop_capabilities() ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || getppid() != parent)
		return false;
	return limit_calls();
}
