// SPDX-License-Identifier: BSD-2-Clause
/*
 * Forks the process of the workers, confines it, and learns of its end: see process.h. In that process, one thread
 * waits for the workers' threads and does nothing else. Main thread of either process.
 */
#include "engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/log_output.h"
#include "engine/loop.h"
#include "engine/shared.h"
#include "engine/worker.h"
#include "system/process.h"
#include "system/sandbox.h"

#define START_MS   10000
#define JOIN_TRIES 5000 /* of 2 ms; a sanitizer build looks for leaks when it ends */

/* --- in the process of the workers --- */

static unsigned int list_shared_descriptors(const struct engine *engine, int *out)
{
	const struct steer_maps *maps = &engine->steer.maps;
	unsigned int count = 0;

	out[count++] = log_output_descriptor();
	out[count++] = engine->finished;
	out[count++] = engine->answered;
	out[count++] = engine->trace.to;
	out[count++] = engine->handover.from;
	for (unsigned int family = 0; family < CLIENT_FAMILIES; family++)
		out[count++] = engine->client_sockets.from[family];
	out[count++] = engine->dataplane.socks;
	out[count++] = engine->dataplane.slots;
	out[count++] = maps->own_connections;
	out[count++] = maps->own_connecting;
	out[count++] = maps->takeovers;
	out[count++] = engine->steer.watch.helper.worker.socket;
	out[count++] = engine->steer.asker.program;
	for (unsigned int i = 0; engine->dataplane.rings && i < engine->worker_count; i++)
		out[count++] = engine->dataplane.rings[i];
	return count;
}

/*
 * Everything else is closed: programs, links and most maps, the control socket, locks, the service manager's sockets.
 * Standard input and output may be a terminal.
 */
static int keep_descriptors(struct engine *engine, int tell)
{
	size_t most = 32 + engine->worker_count * (1UL + WORKER_DESCRIPTORS);
	int *kept = calloc(most, sizeof(*kept)), nothing = descriptor_open_nothing();
	unsigned int count;

	if (!kept || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0) {
		free(kept);
		return -errno;
	}
	count = list_shared_descriptors(engine, kept);
	kept[count++] = tell;
	for (unsigned int i = 0; i < engine->worker_count; i++)
		count += worker_descriptors(&engine->workers[i], &kept[count]);
	descriptor_close_others(kept, count);
	free(kept);
	return 0;
}

static int start_workers(struct engine *engine, struct sentence *why)
{
	for (; engine->running < engine->worker_count; engine->running++) {
		int error = worker_start(&engine->workers[engine->running]);

		if (error)
			return sentence_error(why, error, "cannot start worker %u: %s", engine->running,
					      strerror(-error));
	}
	return 0;
}

/* tell: a pipe, to write one byte to once the workers serve. No signal ends this process: the main one tells it to. */
static void __attribute__((noreturn)) become_workers(struct engine *engine, const struct sandbox *sandbox, int tell)
{
	struct sandbox_report report;
	struct sentence why = {0};
	sigset_t all;
	int error = steer_read_only(&engine->steer);

	if (!error)
		error = dataplane_read_only(&engine->dataplane);
	if (!error)
		error = keep_descriptors(engine, tell);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "alpnbpf-workers", 0, 0, 0);
	atomic_store(&engine->shared->descriptors, process_descriptors());
	if (error)
		log_error("cannot start the workers: %s", strerror(-error));
	else if ((error = sandbox_enter(sandbox, &report, &why)))
		log_error("cannot drop privileges: %s", why.text);
	else if ((error = start_workers(engine, &why)))
		log_error("%s", why.text);
	if (error)
		_exit(EXIT_FAILURE);
	if (write(tell, "", 1) != 1)
		_exit(EXIT_FAILURE); /* the main process has ended */
	close(tell);
	for (unsigned int i = 0; i < engine->running; i++)
		pthread_join(engine->workers[i].thread, NULL);
	exit(EXIT_SUCCESS); /* not _exit(): leaks are looked for, and coverage is written */
}

/* --- in the main process --- */

static int await_start(int heard)
{
	struct pollfd wait = {.fd = heard, .events = POLLIN};
	char byte;

	if (poll(&wait, 1, START_MS) == 0)
		return -ETIMEDOUT;
	return read(heard, &byte, 1) == 1 ? 0 : -ECHILD;
}

int workers_process_start(struct engine *engine, const struct sandbox *sandbox, struct sentence *why)
{
	int pipes[2], error;
	pid_t pid;

	*why = (struct sentence){0};
	if (pipe2(pipes, O_CLOEXEC))
		return sentence_error(why, -errno, "cannot start the workers: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(pipes[0]);
		become_workers(engine, sandbox, pipes[1]);
	}
	error = pid < 0 ? -errno : 0;
	close(pipes[1]);
	if (!error) {
		engine->process.pid = pid;
		error = await_start(pipes[0]);
	}
	close(pipes[0]);
	if (error && error != -ECHILD)
		sentence_set(why, "cannot start the workers: %s", strerror(-error));
	return error;
}

static void note_end(struct engine *engine, int status)
{
	bool asked = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	pid_t pid = engine->process.pid;

	engine->process = (struct workers_process){.has_ended = true, .has_failed = !asked};
	if (WIFSIGNALED(status))
		log_error("the process of the workers (%d) was killed by signal %d (%s); what it has counted since "
			  "it was last asked is lost",
			  (int)pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!asked && engine->running) /* else it has said why it cannot start */
		log_error("the process of the workers (%d) has ended with code %d", (int)pid, WEXITSTATUS(status));
}

bool workers_process_reap(struct engine *engine, pid_t pid)
{
	int status;

	if (!engine->process.pid || engine->process.pid != pid || waitpid(pid, &status, WNOHANG) != pid)
		return false;
	note_end(engine, status);
	return true;
}

void workers_process_join(struct engine *engine)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	pid_t pid = engine->process.pid;
	int status;

	for (int tries = 0; pid && tries < JOIN_TRIES; tries++) {
		if (workers_process_reap(engine, pid))
			return;
		nanosleep(&pause, NULL);
	}
	if (!pid)
		return;
	log_error("the process of the workers (%d) does not end; killing it", (int)pid);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) == pid)
		note_end(engine, status);
}
