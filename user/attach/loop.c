// SPDX-License-Identifier: BSD-2-Clause
/*
 * Waits for signals, workers, the ACME client's listener and requests, and calls the code for each. It never waits for
 * a name server, a worker, a client or the command. These steps may take time all the same:
 *
 *     the kernel                  listing the listeners of a port: milliseconds
 *     the repair helper           attaching the watch: 100 ms at most, then it is attached later
 *     the process of a listener   a search of /proc, 100 ms at most: when the ACME client arms us, three times at
 *                                 once and then every ten seconds; for each other user that listens in its place,
 *                                 16 at most; when a reload finds a port in use
 *     an address of this machine  listing all of them; and the listeners of a port, if a worker asks: milliseconds
 *     a reload that takes effect  a few system calls per new listener and worker; if the port of --acme or --https
 *                                 has changed, a walk over the open files of all processes: half a second per million
 *     a trace                     256 records, then other work comes first
 *
 * Nor does it wait for the reader of the log (base/log_output.c) or for the service manager (system/notify.h).
 * Owns the signalfd. Main thread.
 */
#include "attach/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach/ending.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "operate/operate.h"
#include "steering/arming.h"
#include "system/lock.h"
#include "system/notify.h"

/* --- signals --- */

int loop_open(struct attach *attach)
{
	static const int always[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	static const int for_command[] = {SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
	sigset_t set;
	int error;

	signal(SIGPIPE, SIG_IGN); /* sent when the log's reader is gone */
	signal(SIGCHLD, SIG_DFL); /* if a parent ignored it, none would come */
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		sigaddset(&set, always[i]);
	for (size_t i = 0; attach->program.options.command && i < sizeof(for_command) / sizeof(for_command[0]); i++)
		sigaddset(&set, for_command[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	attach->at_terminal = isatty(STDERR_FILENO) == 1;
	attach->signals = signalfd(NO_DESCRIPTOR, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (attach->signals >= 0)
		return 0;
	error = -errno;
	log_error("cannot receive signals: signalfd: %s", strerror(-error));
	return error;
}

void loop_close(struct attach *attach)
{
	descriptor_close(&attach->signals);
}

/* SIGTERM and SIGINT are for us, the other signals for the command; at the end, all are for the command. */
static bool is_for_child(const struct attach *attach, uint32_t number)
{
	if (attach->program.phase == PROGRAM_COMMAND)
		return true;
	return attach->child.pid && number != SIGTERM && number != SIGINT;
}

static void reap_command(struct attach *attach)
{
	if (!child_reap(&attach->child))
		return;
	log_info("%s exited with code %d", attach->program.options.command[0], attach->child.code);
	ending_begin(attach, true, "the command has ended");
}

/* Looks who has ended before anybody reaps it: whose process it is decides what its end means. */
static void reap_processes(struct attach *attach)
{
	siginfo_t ended = {0};

	while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid) {
		if (child_runs(&attach->child) && ended.si_pid == attach->child.pid)
			reap_command(attach);
		else if (!workers_process_reap(&attach->program.engine,
					       ended.si_pid)) /* an orphan, which PID 1 must reap */
			waitpid(ended.si_pid, NULL, WNOHANG);
		ended.si_pid = 0;
	}
	reap_command(attach); /* also if it is gone unseen */
}

static void read_signal(struct attach *attach)
{
	bool drains = attach->program.phase > PROGRAM_RUNNING;
	struct signalfd_siginfo info;

	if (read(attach->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap_processes(attach);
	else if (is_for_child(attach, info.ssi_signo))
		child_signal(&attach->child, (int)info.ssi_signo);
	/* A terminal that closes sends SIGHUP too, and stderr is no terminal any more. */
	else if (info.ssi_signo == SIGHUP && !(attach->at_terminal && !isatty(STDERR_FILENO)))
		reload_ask(&attach->program.reload);
	else
		ending_begin(attach, info.ssi_signo == SIGINT || drains,
			     info.ssi_signo == SIGINT ? "SIGINT"
			     : drains                 ? "a second signal"
						      : "--drain-timeout is 0");
}

/* --- the loop --- */

enum {
	WAIT_SIGNALS,
	WAIT_FINISHED,
	WAIT_ARMING,
	WAIT_HELPER,
	WAIT_NOTIFY,
	WAIT_ENGINE,
	WAIT_CLIENT_SOCKETS,
	WAIT_OPERATE = WAIT_CLIENT_SOCKETS + CLIENT_FAMILIES,
	WAIT_LOCKS = WAIT_OPERATE + OPERATE_DESCRIPTORS
};

static nfds_t fill_poll(const struct attach *attach, struct pollfd *wait)
{
	const struct program *program = &attach->program;

	wait[WAIT_SIGNALS] = (struct pollfd){.fd = attach->signals, .events = POLLIN};
	wait[WAIT_FINISHED] = (struct pollfd){.fd = program->engine.finished, .events = POLLIN};
	wait[WAIT_ARMING] = (struct pollfd){.fd = arming_fd(&program->engine.steer.arming), .events = POLLIN};
	wait[WAIT_HELPER] = (struct pollfd){.fd = hello_watch_fd(&program->engine.steer.watch), .events = POLLIN};
	wait[WAIT_NOTIFY] = (struct pollfd){.fd = notify_fd(), .events = POLLOUT};
	wait[WAIT_ENGINE] = (struct pollfd){.fd = engine_fd(&program->engine), .events = POLLIN};
	for (unsigned int i = 0; i < CLIENT_FAMILIES; i++)
		wait[WAIT_CLIENT_SOCKETS + i] =
			(struct pollfd){.fd = client_sockets_fd(&program->engine.client_sockets, i), .events = POLLOUT};
	operate_poll(program, &wait[WAIT_OPERATE]);
	for (unsigned int i = 0; i < attach->lock_count; i++)
		wait[WAIT_LOCKS + i] = (struct pollfd){.fd = attach->locks[i], .events = POLLIN};
	return WAIT_LOCKS + attach->lock_count;
}

static uint64_t earlier_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds to wait, rounded up; -1 without a deadline. */
static int wait_ms(const struct attach *attach, uint64_t arming_next)
{
	uint64_t now = monotonic_us(), until = operate_next(&attach->program);

	until = earlier_of(until, engine_next(&attach->program.engine));
	until = earlier_of(until, ending_next(attach));
	until = earlier_of(until, attach->watchdog.next);
	until = earlier_of(until, child_next(&attach->child));
	if (attach->program.phase == PROGRAM_RUNNING)
		until = earlier_of(until, arming_next);
	if (until == UINT64_MAX)
		return -1;
	return until > now ? (int)((until - now) / US_PER_MS + 1) : 0;
}

/* poll() failed: shut down, and treat every descriptor as readable, after a pause. */
static void poll_failed(struct attach *attach, struct pollfd *wait, nfds_t count)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	if (attach->program.phase < PROGRAM_ENDING)
		log_error("cannot wait for events: poll: %s; shutting down", strerror(errno));
	attach->failed = true;
	ending_begin(attach, true, "the main loop failed");
	nanosleep(&pause, NULL);
	for (nfds_t i = 0; i < count; i++)
		wait[i].revents = POLLIN;
}

/* Ends the program if a client of the control socket asked for that. */
static void obey_control(struct attach *attach)
{
	enum program_end asked = attach->program.end_asked;

	attach->program.end_asked = END_NOT_ASKED;
	if (asked != END_NOT_ASKED)
		ending_begin(attach, asked == END_NOW, asked == END_NOW ? "detach --now" : "detach");
}

void loop_run(struct attach *attach)
{
	struct pollfd wait[WAIT_LOCKS + LOCKS_MAX];

	for (ending_step(attach); !ending_is_over(attach); ending_step(attach)) {
		uint64_t arming_next = arming_look(&attach->program.engine.steer.arming);
		nfds_t count = fill_poll(attach, wait);
		int ready = poll(wait, count, wait_ms(attach, arming_next));
		uint64_t ended;

		if (ready < 0 && errno != EINTR)
			poll_failed(attach, wait, count);
		else if (ready < 0)
			continue;
		engine_answer(&attach->program.engine, &attach->program.options);
		watchdog_look(&attach->watchdog, &attach->program.engine);
		operate_run(&attach->program);
		notify_flush();
		obey_control(attach);
		for (unsigned int i = 0; i < attach->lock_count; i++)
			if (wait[WAIT_LOCKS + i].revents)
				lock_answer(attach->locks[i]);
		if (wait[WAIT_SIGNALS].revents)
			read_signal(attach);
		if (monotonic_us() >= child_next(&attach->child))
			reap_command(attach);
		if (wait[WAIT_FINISHED].revents && /* ending_step() looks at the workers */
		    read(attach->program.engine.finished, &ended, sizeof(ended)) < 0)
			log_debug("cannot read the eventfd of the workers: %s", strerror(errno));
	}
}
