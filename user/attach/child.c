// SPDX-License-Identifier: BSD-2-Clause
/* Starts the command, forwards signals to it, reaps it. Owns one process. Main thread. */
#include "attach/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"

#define AGAIN_MS 1000

/* Variables for alpnbpf alone: it reports to the service manager, and takes the sockets. */
static bool is_ours(const char *variable)
{
	static const char *const ours[] = {
		"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
			return true;
	return false;
}

/* Made before fork(), because nothing may be allocated between fork() and exec(). The caller frees it. */
static char **make_environment(void)
{
	size_t count = 0, kept = 0;
	char **environment;

	while (environ[count])
		count++;
	environment = calloc(count + 1, sizeof(*environment));
	for (size_t i = 0; environment && i < count; i++)
		if (!is_ours(environ[i]))
			environment[kept++] = environ[i];
	return environment;
}

/* Runs in the new process. If exec() fails, sends errno through the pipe `tell`. */
static void __attribute__((noreturn))
become_command(char **command, char **environment, const struct rlimit *nofile, int tell)
{
	sigset_t none;
	int error;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setrlimit(RLIMIT_NOFILE, nofile);
	execvpe(command[0], command, environment);
	error = errno;
	if (write(tell, &error, sizeof(error)) != sizeof(error))
		_exit(126);
	_exit(127);
}

int child_start(struct child *child, char **command, const struct rlimit *nofile, struct sentence *why)
{
	char **environment = make_environment();
	int pipes[2], error = 0;
	pid_t pid;

	if (!environment || pipe2(pipes, O_CLOEXEC)) {
		error = environment ? errno : ENOMEM;
		free(environment);
		return sentence_error(why, -error, "cannot start %s: %s", command[0], strerror(error));
	}
	pid = fork();
	if (pid == 0)
		become_command(command, environment, nofile, pipes[1]);
	if (pid < 0)
		error = errno;
	free(environment);
	close(pipes[1]);
	/* The pipe is empty if exec() succeeded, which closes it. */
	if (pid > 0 && read(pipes[0], &error, sizeof(error)) == sizeof(error))
		waitpid(pid, NULL, 0);
	close(pipes[0]);
	if (error)
		return sentence_error(why, -error, "cannot start %s: %s", command[0], strerror(error));
	*child = (struct child){.pid = pid};
	return 0;
}

bool child_reap(struct child *child)
{
	int status;
	pid_t pid;

	child->again = 0;
	if (!child_runs(child))
		return false;
	pid = waitpid(child->pid, &status, WNOHANG);
	if (pid == 0)
		return false;
	if (pid < 0 && errno != ECHILD) { /* no further SIGCHLD will come */
		log_warn("cannot check whether the command has ended: %s; trying again", strerror(errno));
		child->again = monotonic_us() + AGAIN_MS * US_PER_MS;
		return false;
	}
	child->ended = true;
	if (pid < 0) /* gone, and its exit code is lost */
		child->code = 1;
	else
		child->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

uint64_t child_next(const struct child *child)
{
	return child->again ? child->again : UINT64_MAX;
}

void child_signal(const struct child *child, int signal)
{
	if (child_runs(child))
		kill(child->pid, signal);
}

bool child_runs(const struct child *child)
{
	return child->pid && !child->ended;
}
