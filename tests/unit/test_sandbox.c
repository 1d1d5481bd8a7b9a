// SPDX-License-Identifier: BSD-2-Clause
/*
 * user/system/sandbox*.c: a child enters the stages, then tries what must fail and what must still work. It reports the
 * error of each attempt, and the parent compares. Stages that this kernel lacks are SKIPPED.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "system/capabilities.h"
#include "system/sandbox.h"

static char folder[] = "/tmp/alpnbpf-sandbox-XXXXXX", inside[64], outside[64];

/* --- the attempts: 0 or errno --- */

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600), error = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

static int try_read(void)
{
	int error = try_open("/etc/passwd", O_RDONLY);

	return error ? error : try_open("/proc/self/net/tcp", O_RDONLY);
}

static int try_read_elsewhere(void)
{
	return try_open("/var", O_RDONLY | O_DIRECTORY);
}

static int try_write(void)
{
	return try_open(outside, O_WRONLY | O_CREAT);
}

static int try_write_config(void)
{
	return try_open("/etc/passwd", O_RDWR);
}

static int try_write_inside(void)
{
	int error = try_open(inside, O_WRONLY | O_CREAT | O_TRUNC);

	return error ? error : unlink(inside) ? errno : 0;
}

static int try_listen_inside(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

	memcpy(address.sun_path, inside, sizeof(inside));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1) || unlink(inside))
		error = errno;
	close(fd);
	return error;
}

static int try_exec(void)
{
	char *command[] = {"/bin/true", NULL};

	execv(command[0], command);
	return errno;
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int try_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol), error = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

static int try_raw(void)
{
	return try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int try_packet(void)
{
	return try_socket(AF_PACKET, SOCK_DGRAM, 0);
}

/* In some containers every port is unprivileged. */
static bool has_low_ports(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	int first = 1024;

	if (file && fscanf(file, "%d", &first) != 1)
		first = 1024;
	if (file)
		fclose(file);
	return first > 81;
}

static int try_bind_low(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(81), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		error = errno;
	close(fd);
	return has_low_ports() ? error : EACCES;
}

static int try_bind(in_port_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		error = errno;
	close(fd);
	return error;
}

static int try_bind_any(void)
{
	return try_bind(0);
}

static int try_bind_high(void)
{
	return try_bind(20443); /* below those that the kernel chooses */
}

static int try_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error = 0;

	if (fd < 0 || listen(fd, 1))
		error = errno;
	close(fd);
	return error;
}

static int try_unix(void)
{
	return try_socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_udp(void)
{
	return try_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
}

static int try_netlink(void)
{
	return try_socket(AF_NETLINK, SOCK_RAW, 4 /* NETLINK_SOCK_DIAG */);
}

static int try_transparent(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error = 0;

	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)))
		error = errno;
	close(fd);
	return error;
}

static int try_option(int level, int name)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error = 0;

	if (fd < 0 || setsockopt(fd, level, name, &on, sizeof(on)))
		error = errno;
	close(fd);
	return error;
}

static int try_option_in_use(void)
{
	return try_option(IPPROTO_TCP, TCP_NODELAY);
}

static int try_firewall(void)
{
	return try_option(IPPROTO_IP, 64 /* IPT_SO_SET_REPLACE */);
}

static int try_multicast_routing(void)
{
	return try_option(IPPROTO_IP, 200 /* MRT_INIT */);
}

static int try_upper_protocol(void)
{
	return try_option(IPPROTO_TCP, 31 /* TCP_ULP */);
}

static int try_filter(void)
{
	return try_option(SOL_SOCKET, SO_ATTACH_FILTER);
}

static int try_device(void)
{
	return try_option(SOL_SOCKET, SO_BINDTODEVICE);
}

static int try_repair(void)
{
	return try_option(IPPROTO_TCP, TCP_REPAIR);
}

static int try_mptcp(void)
{
	return try_socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
}

static int try_bpf(int command)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.map_fd = UINT32_MAX;
	return syscall(SYS_bpf, command, &attributes, sizeof(attributes)) < 0 ? errno : 0;
}

static int try_bpf_load(void)
{
	return try_bpf(BPF_PROG_LOAD);
}

static int try_bpf_create(void)
{
	return try_bpf(BPF_MAP_CREATE);
}

static int try_bpf_update(void)
{
	return try_bpf(BPF_MAP_UPDATE_ELEM);
}

static int try_bpf_run(void)
{
	return try_bpf(BPF_PROG_TEST_RUN);
}

static int try_bpf_attach(void)
{
	return try_bpf(BPF_LINK_CREATE);
}

static int try_mount(void)
{
	return mount("none", "/mnt", "tmpfs", 0, NULL) ? errno : 0;
}

static int try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? errno : 0;
}

static int try_unshare(void)
{
	return syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */) < 0 ? errno : 0;
}

static int try_kill_other(void)
{
	return kill(1, 0) ? errno : 0;
}

static int try_kill_child(void)
{
	return kill(getppid(), 0) ? errno : 0; /* the one that `child` names here */
}

static int try_setuid(void)
{
	return syscall(SYS_setresuid, 1, 1, 1) < 0 ? errno : 0;
}

static int try_limit(void)
{
	struct rlimit limit;
	int error = getrlimit(RLIMIT_NOFILE, &limit) ? errno : 0;

	return error ? -error : setrlimit(RLIMIT_NOFILE, &limit) ? errno : 0;
}

static int try_map(int protection)
{
	void *memory = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? errno : munmap(memory, 4096) ? errno : 0;
}

static int try_memory(void)
{
	return try_map(PROT_READ | PROT_WRITE);
}

static int try_executable(void)
{
	return try_map(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int try_make_executable(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(memory, 4096, PROT_READ | PROT_EXEC) ? errno : 0;
}

/* How many lines of a thread's status are wrong. */
static void *count_wrong(void *count)
{
	static const char *const expected[] = {"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n",
					       "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
					       "NoNewPrivs:\t1\n"};
	FILE *file = fopen("/proc/thread-self/status", "re");
	char line[256];
	int right = 0;

	while (file && fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
			right += strcmp(line, expected[i]) == 0;
	if (file)
		fclose(file);
	*(int *)count = (int)(sizeof(expected) / sizeof(expected[0])) - right;
	return NULL;
}

static int try_thread(void)
{
	pthread_t thread;
	int wrong = -1, error = pthread_create(&thread, NULL, count_wrong, &wrong);

	return error ? error : pthread_join(thread, NULL) ? EINVAL : wrong;
}

/* --- the expected results --- */

enum needs { NOTHING, LANDLOCK, SECCOMP };

static const struct attempt {
	const char *name;
	int (*run)(void);
	int error;
	enum needs needs;
} attempts[] = {
	{"read /etc and /proc", try_read, 0, NOTHING},
	{"write in the run directory", try_write_inside, 0, NOTHING},
	{"a unix socket in the run directory", try_listen_inside, 0, NOTHING},
	{"memory", try_memory, 0, NOTHING},
	{"a thread without rights", try_thread, 0, NOTHING},
	{"a signal for the command", try_kill_child, 0, NOTHING},
	{"bind a port below 1024", try_bind_low, EACCES, NOTHING},
	{"an option in use", try_option_in_use, 0, NOTHING},
	{"IP_TRANSPARENT", try_transparent, ENOSYS, SECCOMP},
	{"the firewall's rules", try_firewall, ENOSYS, SECCOMP},
	{"multicast routing", try_multicast_routing, ENOSYS, SECCOMP},
	{"an upper protocol", try_upper_protocol, ENOSYS, SECCOMP},
	{"a filter of a socket", try_filter, ENOSYS, SECCOMP},
	{"a device of a socket", try_device, ENOSYS, SECCOMP},
	{"TCP_REPAIR", try_repair, ENOSYS, SECCOMP},
	{"an MPTCP socket", try_mptcp, ENOSYS, SECCOMP},
	{"update a map", try_bpf_update, EBADF, NOTHING},
	{"read elsewhere", try_read_elsewhere, EACCES, LANDLOCK},
	{"write elsewhere", try_write, EACCES, LANDLOCK},
	{"write what may be read", try_write_config, EACCES, LANDLOCK},
	{"execute", try_exec, ENOSYS, SECCOMP},
	{"fork", try_fork, ENOSYS, SECCOMP},
	{"a raw socket", try_raw, ENOSYS, SECCOMP},
	{"a packet socket", try_packet, ENOSYS, SECCOMP},
	{"load a BPF program", try_bpf_load, ENOSYS, SECCOMP},
	{"create a BPF map", try_bpf_create, ENOSYS, SECCOMP},
	{"mount", try_mount, ENOSYS, SECCOMP},
	{"ptrace", try_ptrace, ENOSYS, SECCOMP},
	{"a user namespace", try_unshare, ENOSYS, SECCOMP},
	{"a signal for another process", try_kill_other, ENOSYS, SECCOMP},
	{"another user", try_setuid, ENOSYS, SECCOMP},
	{"set a limit", try_limit, ENOSYS, SECCOMP},
	{"memory to write and execute", try_executable, ENOSYS, SECCOMP},
	{"execute what was written", try_make_executable, ENOSYS, SECCOMP},
};

#define ATTEMPTS (sizeof(attempts) / sizeof(attempts[0]))

static bool has(enum needs needs)
{
	switch (needs) {
	case LANDLOCK:
		return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
	case SECCOMP:
#ifdef __SANITIZE_ADDRESS__
		return false;
#endif
	case NOTHING:
		break;
	}
	return true;
}

/* Exits with what run(result) returns. */
struct job {
	int (*run)(int result);
	int result;
};

static int run_job(void *argument)
{
	const struct job *job = argument;

	_exit(job->run(job->result));
}

/*
 * In a coverage build the child shares the parent's memory, and the parent writes the counters: a sandboxed child
 * cannot open their files.
 */
static pid_t start_job(struct job *job)
{
#ifdef ALPNBPF_COVERAGE
	static uint8_t stack[1 << 20] __attribute__((aligned(16)));

	return clone(run_job, stack + sizeof(stack), CLONE_VM | SIGCHLD, job);
#else
	pid_t pid = fork();

	if (pid == 0)
		run_job(job);
	return pid;
#endif
}

/* Runs in a child, since a sandbox cannot be left. Its output is the result. */
static void in_child(int (*run)(int result), void *results, size_t size)
{
	int pipes[2], status; /* sockets: the helper may only send */
	size_t length = 0;
	ssize_t taken;
	struct job job;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pipes), 0);
	job = (struct job){run, pipes[1]};
	pid = start_job(&job);
	assert_true(pid >= 0);
	close(pipes[1]);
	while (length < size && (taken = read(pipes[0], (char *)results + length, size - length)) > 0)
		length += (size_t)taken;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(length, size);
}

static int try_all(int result)
{
	struct sandbox sandbox = {.roles = SANDBOX_MAIN | SANDBOX_WORKERS,
				  .config = "/etc/passwd",
				  .writable = {folder, "/nonexistent"},
				  .child = getppid()};
	struct sandbox_report report;
	struct sentence why;

	if (sandbox_enter(&sandbox, &report, &why)) {
		fprintf(stderr, "sandbox: %s\n", why.text);
		return 1;
	}
	for (size_t i = 0; i < ATTEMPTS; i++) {
		int error = has(attempts[i].needs) ? attempts[i].run() : attempts[i].error;

		if (write(result, &error, sizeof(error)) != sizeof(error))
			return 1;
	}
	return 0;
}

static void test_what_is_left(void **state)
{
	int errors[ATTEMPTS];

	(void)state;
	if (!has(LANDLOCK))
		print_message("SKIPPED files: no Landlock on this kernel\n");
	if (!has(SECCOMP))
		print_message("SKIPPED system calls: not in a sanitizer build\n");
	in_child(try_all, errors, sizeof(errors));
	for (size_t i = 0; i < ATTEMPTS; i++)
		if (errors[i] != attempts[i].error)
			print_error("%s: %s, not %s\n", attempts[i].name, strerror(errors[i]),
				    strerror(attempts[i].error));
	for (size_t i = 0; i < ATTEMPTS; i++)
		assert_int_equal(errors[i], attempts[i].error);
}

/* Of the processes that have no file: the error of each attempt. */
static const struct {
	const char *name;
	int (*run)(void);
	int workers, helper;
} others[] = {
	{"read a file", try_read, ENOSYS, ENOSYS},
	{"write in the run directory", try_write_inside, ENOSYS, ENOSYS},
	{"listen", try_listen, ENOSYS, ENOSYS},
	{"any port", try_bind_any, 0, 0},
	{"a certain port", try_bind_high, EACCES, 0}, /* if the kernel's Landlock limits ports */
	{"memory", try_memory, 0, ENOSYS},
	{"memory to write and execute", try_executable, ENOSYS, ENOSYS},
	{"a signal", try_kill_child, ENOSYS, ENOSYS},
	{"a unix socket", try_unix, 0, ENOSYS},
	{"a UDP socket", try_udp, ENOSYS, ENOSYS},
	{"a netlink socket", try_netlink, ENOSYS, ENOSYS},
	{"a raw socket", try_raw, ENOSYS, ENOSYS},
	{"an option in use", try_option_in_use, 0, ENOSYS},
	{"TCP_REPAIR", try_repair, ENOSYS, EPERM},
	{"IP_TRANSPARENT", try_transparent, ENOSYS, EPERM},
	{"the firewall's rules", try_firewall, ENOSYS, ENOSYS},
	{"load a BPF program", try_bpf_load, ENOSYS, ENOSYS},
	{"a test run of a BPF program", try_bpf_run, EBADF, EBADF},
	{"attach a BPF program", try_bpf_attach, ENOSYS, EBADF},
	{"execute", try_exec, ENOSYS, ENOSYS},
	{"fork", try_fork, ENOSYS, ENOSYS},
	{"ptrace", try_ptrace, ENOSYS, ENOSYS},
};

#define OTHERS (sizeof(others) / sizeof(others[0]))

static int try_others(enum sandbox_role role, int result)
{
	struct sandbox sandbox = {.roles = role};
	struct sandbox_report report;
	struct sentence why;
	int errors[OTHERS];

	if (sandbox_enter(&sandbox, &report, &why)) {
		fprintf(stderr, "sandbox: %s\n", why.text);
		return 1;
	}
	for (size_t i = 0; i < OTHERS; i++)
		errors[i] = others[i].run();
	return send(result, errors, sizeof(errors), 0) != sizeof(errors);
}

static int try_workers(int result)
{
	return try_others(SANDBOX_WORKERS, result);
}

static int try_helper(int result)
{
	return try_others(SANDBOX_HELPER, result);
}

static void test_what_others_have(void **state)
{
	bool ports = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 4;
	int workers[OTHERS], helper[OTHERS];

	(void)state;
	if (!has(SECCOMP)) {
		print_message("SKIPPED: no system calls are limited in a sanitizer build\n");
		skip();
	}
	in_child(try_workers, workers, sizeof(workers));
	in_child(try_helper, helper, sizeof(helper));
	for (size_t i = 0; i < OTHERS; i++) {
		if (others[i].run == try_bind_high && !ports)
			continue;
		if (workers[i] != others[i].workers || helper[i] != others[i].helper)
			fail_msg("%s: %s and %s", others[i].name, strerror(workers[i]), strerror(helper[i]));
	}
}

static int keep_net_admin(int result)
{
	struct sandbox sandbox = {.roles = SANDBOX_MAIN | SANDBOX_WORKERS,
				  .capabilities = CAPABILITY(CAP_NET_ADMIN),
				  .transparent = true};
	struct sandbox_report report;
	struct sentence why;
	int errors[2];

	if (sandbox_enter(&sandbox, &report, &why))
		return 1;
	errors[0] = try_transparent();
	errors[1] = try_bind_low();
	return write(result, errors, sizeof(errors)) != sizeof(errors);
}

static void test_one_capability_is_kept(void **state)
{
	int errors[2];

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIPPED: needs root\n");
		skip();
	}
	in_child(keep_net_admin, errors, sizeof(errors));
	assert_int_equal(errors[0], 0);
	assert_int_equal(errors[1], EACCES);
}

static void *wait_for_ever(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

static int enter_with_thread(int result)
{
	struct sandbox sandbox = {.roles = SANDBOX_WORKERS};
	struct sandbox_report report;
	struct sentence why = {0};
	pthread_t thread;
	int error;

	if (pthread_create(&thread, NULL, wait_for_ever, NULL))
		return 1;
	error = sandbox_enter(&sandbox, &report, &why);
	return !strstr(why.text, "2 threads") || write(result, &error, sizeof(error)) != sizeof(error);
}

static void test_threads_would_keep_theirs(void **state)
{
	int error;

	(void)state;
	in_child(enter_with_thread, &error, sizeof(error));
	assert_int_equal(error, -EBUSY);
}

static int make_folder(void **state)
{
	(void)state;
	log_init(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	if (!mkdtemp(folder))
		return -1;
	snprintf(inside, sizeof(inside), "%s/inside", folder);
	snprintf(outside, sizeof(outside), "%s-outside", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_what_others_have),
		cmocka_unit_test(test_one_capability_is_kept),
		cmocka_unit_test(test_threads_would_keep_theirs),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
