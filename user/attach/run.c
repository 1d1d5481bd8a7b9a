// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf attach`: announces that it is ready, runs the workers, and takes the signals; the first TERM drains, a
 * second one or INT ends at once. The main thread does nothing else while sessions run.
 */
#include "attach/attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "steering/arming.h"
#include "dataplane/dataplane.h"
#include "hello/describe.h"
#include "system/bpf.h"
#include "system/lock.h"
#include "base/log.h"
#include "system/notify.h"
#include "operate/counter_output.h"
#include "operate/requests.h"
#include "options/command_line.h"
#include "options/options.h"
#include "operate/reload.h"
#include "operate/trace_output.h"
#include "engine/worker.h"

#define SETTLE_LOOK_MS 5    /* how often it looks for them */
#define DISARM_LOOK_MS 1000 /* how soon a closed ACME listener is in the log; steering knows at once */

/* --- readiness --- */

static void announce(const struct attach *attach)
{
	const struct options *options = &attach->program.options;
	const struct worker *worker = &attach->program.engine.workers[0];
	char listeners[512], name[ADDRESS_TEXT_MAX], routes[512];
	size_t length = 0;

	for (unsigned int i = 0; i < worker->listener_count && length < sizeof(listeners); i++)
		if (!worker->listeners[i].in_place)
			length += (size_t)snprintf(listeners + length, sizeof(listeners) - length, "%s%s",
						   length ? ", " : "listening on ",
						   address_format(&worker->listeners[i].address, name, sizeof(name)));
	for (unsigned int i = 0; i < options->listener_count && length < sizeof(listeners); i++)
		if (options->in_place[i] &&
		    attach->program.engine.private_ports[steer_family_of(&options->listeners[i])])
			length += (size_t)snprintf(listeners + length, sizeof(listeners) - length, "%sat %s",
						   length ? ", " : "",
						   address_format(&options->listeners[i], name, sizeof(name)));
	log_info("ready: %s; acme -> %s, https -> %s%s; %s; data plane %s; %u workers, %u sessions at most", listeners,
		 options->backends[ROUTE_ACME].text, options->backends[ROUTE_HTTPS].text,
		 options_list_rules(options, routes, sizeof(routes)), attach->program.engine.steer.mode,
		 attach->program.dataplane_text, attach->program.engine.worker_count,
		 attach->program.engine.max_sessions);
	notify_service_manager("READY=1");
	notify_status("serving: %s; data plane %s", attach->program.engine.steer.mode, attach->program.dataplane_text);
}

/* How many sessions there are, as a snapshot: their workers count on. */
static unsigned int live_sessions(const struct attach *attach)
{
	unsigned int live = 0;

	for (unsigned int i = 0; i < attach->program.engine.running; i++)
		live += __atomic_load_n(&attach->program.engine.workers[i].live, __ATOMIC_RELAXED);
	return live;
}

/* What the run came to, as key=value. */
static void log_totals(struct attach *attach)
{
	struct text totals = {0};
	struct report report;
	char *next = NULL;

	report_collect(&report, &attach->program.engine, REPORT_COUNTERS);
	program_add_counters(&attach->program, &report.counters);
	counters_write_totals(&totals, &report.counters);
	for (char *line = totals.failed ? NULL : strtok_r(totals.bytes, "\n", &next); line;
	     line = strtok_r(NULL, "\n", &next))
		log_info("totals: %s", line);
	text_free(&totals);
}

/* --- running and ending --- */

static void end_now(struct attach *attach, const char *why)
{
	if (!attach->drain_until)
		notify_service_manager("STOPPING=1");
	attach->drain_until = UINT64_MAX;
	attach->program.phase = PROGRAM_ENDING;
	steer_stop(&attach->program.engine.steer);
	attach->settle_until = 0;
	log_info("ending now: %s", why);
	engine_tell(&attach->program.engine, WORKER_STOP);
}

/* Signals that mean something to a web server, and nothing to us while it is our child. */
static bool is_for_child(const struct attach *attach, uint32_t signal)
{
	return attach->child.pid && signal != SIGTERM && signal != SIGINT;
}

static void drain(struct attach *attach)
{
	attach->program.phase = PROGRAM_DRAINING;
	attach->drain_until = monotonic_us() + attach->program.options.drain_timeout_ms * US_PER_MS;
	log_info("draining: no new connections, %u ms for those there are", attach->program.options.drain_timeout_ms);
	notify_service_manager("STOPPING=1");
	notify_status("draining: %u sessions when it began, %u ms for them to end", live_sessions(attach),
		      attach->program.options.drain_timeout_ms);
	steer_stop(&attach->program.engine.steer);
	attach->settle_until = monotonic_us() + attach->program.options.hello_timeout_ms * US_PER_MS;
}

/* Drains, as TERM does; at_once: with resets, as INT does. why is for the log. */
static void attach_end(struct attach *attach, bool at_once, const char *why)
{
	if (at_once || attach->program.options.drain_timeout_ms == 0)
		end_now(attach, why);
	else if (!attach->drain_until)
		drain(attach);
}

/* A client of the control socket has asked for it. */
static void obey_control(struct attach *attach)
{
	enum program_end asked = attach->program.end_asked;

	attach->program.end_asked = END_NOT_ASKED;
	if (asked != END_NOT_ASKED)
		attach_end(attach, asked == END_NOW, asked == END_NOW ? "detach --now" : "detach");
}

static void reap(struct attach *attach)
{
	if (!child_reap(&attach->child))
		return;
	log_info("%s has ended with code %d", attach->program.options.command[0], attach->child.code);
	if (attach->program.phase != PROGRAM_ENDING)
		end_now(attach, "the command has ended");
}

static void take_signal(struct attach *attach)
{
	struct signalfd_siginfo info;
	char sentence[1024];

	if (read(attach->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD) {
		reap(attach);
		return;
	}
	if (is_for_child(attach, info.ssi_signo)) {
		child_signal(&attach->child, (int)info.ssi_signo);
		return;
	}
	/* A terminal that goes away sends one as well, and is none any more by then. */
	if (info.ssi_signo == SIGHUP && !(attach->at_terminal && !isatty(STDERR_FILENO))) {
		reload(&attach->program, sentence, sizeof(sentence));
		return;
	}
	attach_end(attach, info.ssi_signo == SIGINT || attach->drain_until,
		   info.ssi_signo == SIGINT ? "SIGINT"
		   : attach->drain_until    ? "a second signal"
					    : "--drain-timeout is 0");
}

/*
 * New connections are the web server's by now. Those that were steered to us before, and whose handshake or first byte
 * is still to come, would be reset with our listeners: they are closed when there is none left.
 */
static void settle(struct attach *attach)
{
	if (!attach->settle_until ||
	    (steer_pending(&attach->program.engine.steer) && monotonic_us() < attach->settle_until))
		return;
	attach->settle_until = 0;
	engine_tell(&attach->program.engine, WORKER_DRAIN);
}

/* Milliseconds to wait, rounded up; -1 without a deadline. */
static int wait_ms(const struct attach *attach, bool armed)
{
	uint64_t now = monotonic_us(), until = servers_next(&attach->program.servers);

	if (attach->settle_until)
		return SETTLE_LOOK_MS;
	if (attach->drain_until && attach->drain_until < until)
		until = attach->drain_until;
	if (armed && !attach->drain_until && now + DISARM_LOOK_MS * US_PER_MS < until)
		until = now + DISARM_LOOK_MS * US_PER_MS;
	if (until > attach->program.watchdog.next)
		until = attach->program.watchdog.next;
	if (until == UINT64_MAX)
		return -1;
	return until > now ? (int)((until - now) / US_PER_MS + 1) : 0;
}

enum { WAIT_SIGNALS, WAIT_FINISHED, WAIT_ARMING, WAIT_SERVERS, WAIT_TRACE, WAIT_LOCKS };

static int run(struct attach *attach)
{
	struct pollfd wait[WAIT_LOCKS + LOCKS_MAX] = {
		[WAIT_SIGNALS] = {.fd = attach->signals, .events = POLLIN},
		[WAIT_FINISHED] = {.fd = attach->program.engine.finished, .events = POLLIN},
		[WAIT_ARMING] = {.fd = arming_fd(&attach->program.engine.steer), .events = POLLIN},
		[WAIT_SERVERS] = {.fd = attach->program.servers.epoll, .events = POLLIN},
		[WAIT_TRACE] = {.fd = attach->program.engine.trace.from, .events = POLLIN}};
	unsigned int left = attach->program.engine.running;
	int result = 0;

	for (unsigned int i = 0; i < attach->lock_count; i++)
		wait[WAIT_LOCKS + i] = (struct pollfd){.fd = attach->locks[i], .events = POLLIN};
	while (left) {
		bool armed = arming_look(&attach->program.engine.steer);
		int ready = poll(wait, WAIT_LOCKS + attach->lock_count, wait_ms(attach, armed));
		uint64_t ended;

		if (ready < 0 && errno != EINTR)
			return -errno;
		settle(attach);
		watchdog_look(&attach->program.watchdog, &attach->program.engine);
		if (attach->drain_until && monotonic_us() >= attach->drain_until)
			end_now(attach, "--drain-timeout is over");
		servers_run(&attach->program.servers);
		obey_control(attach);
		if (trace_output_run(&attach->program.engine.trace, &attach->program.servers))
			servers_run(&attach->program.servers);
		for (unsigned int i = 0; ready > 0 && i < attach->lock_count; i++)
			if (wait[WAIT_LOCKS + i].revents)
				lock_answer(attach->locks[i]);
		if (ready > 0 && wait[WAIT_SIGNALS].revents)
			take_signal(attach);
		if (ready > 0 && wait[WAIT_FINISHED].revents &&
		    read(attach->program.engine.finished, &ended, sizeof(ended)) == sizeof(ended)) {
			left -= ended < left ? (unsigned int)ended : left;
			/* A worker that ends unasked has said why. Its listeners would still get their share of the
			 * connections: it takes the program with it, and the service manager restarts that. */
			if (!attach->drain_until) {
				end_now(attach, "a worker failed");
				result = -EIO;
			}
		}
	}
	return result;
}

static int open_signals(struct attach *attach)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN); /* a log reader that has gone away */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (attach->program.options.command) {
		sigaddset(&set, SIGCHLD);
		sigaddset(&set, SIGQUIT);
		sigaddset(&set, SIGUSR1);
		sigaddset(&set, SIGUSR2);
		sigaddset(&set, SIGWINCH);
	}
	sigprocmask(SIG_BLOCK, &set, NULL); /* before threads start: they inherit it */
	attach->at_terminal = isatty(STDERR_FILENO) == 1;
	attach->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (attach->signals < 0) {
		log_error("cannot take signals: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

/* The exit code of a shell that cannot start a command. */
static int start_command(struct attach *attach)
{
	char reason[512];
	int error;

	if (!attach->program.options.command)
		return 0;
	error = child_start(&attach->child, attach->program.options.command, &attach->nofile, reason, sizeof(reason));
	if (!error)
		return 0;
	log_error("%s", reason);
	return error == -ENOENT ? 127 : 126;
}

/* Our sessions have ended: now the command may. Whatever else we are told meanwhile is for it. */
static void end_command(struct attach *attach)
{
	struct pollfd wait = {.fd = attach->signals, .events = POLLIN};
	struct signalfd_siginfo info;

	if (child_runs(&attach->child))
		log_info("telling %s to end", attach->program.options.command[0]);
	child_signal(&attach->child, SIGTERM);
	while (child_runs(&attach->child)) {
		watchdog_look(&attach->program.watchdog, &attach->program.engine);
		if (poll(&wait, 1, watchdog_wait_ms(&attach->program.watchdog)) < 0 ||
		    read(attach->signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGCHLD)
			child_signal(&attach->child, (int)info.ssi_signo);
		else if (child_reap(&attach->child))
			log_info("%s has ended with code %d", attach->program.options.command[0], attach->child.code);
	}
}

static void tear_down(struct attach *attach, bool started)
{
	steer_stop(&attach->program.engine.steer);
	engine_tell(&attach->program.engine, WORKER_STOP);
	engine_join(&attach->program.engine);
	watchdog_close(&attach->program.watchdog);
	if (started)
		log_totals(attach);
	attach_tear_down(attach);
	close(attach->signals);
	operate_close(&attach->program); /* last: who asked for the end learns that it has come */
}

int attach_main(int argc, char **argv)
{
	static struct attach attach = {.signals = -1};
	int result, code;

	if (!command_line_parse(&attach.program.options, argc, argv, &result))
		return result;
	log_init(attach.program.options.log_level, attach.program.options.log_format);
	bpf_log_to_ours();
	attach.program.argc = argc;
	attach.program.argv = argv;
	attach.program.started = monotonic_us();
	result = open_signals(&attach);
	if (result)
		return EXIT_FAILED;
	result = attach_set_up(&attach);
	if (result) {
		tear_down(&attach, false);
		return EXIT_FAILED;
	}
	code = start_command(&attach);
	if (code) {
		tear_down(&attach, true);
		return code;
	}
	result = attach_start(&attach);
	if (!result) {
		attach.program.phase = PROGRAM_RUNNING;
		announce(&attach);
		result = run(&attach);
	}
	end_command(&attach);
	tear_down(&attach, true);
	return result ? EXIT_FAILED : attach.child.pid ? attach.child.code : EXIT_DONE;
}
