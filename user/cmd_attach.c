// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf attach`: sets everything up, in the order in which it can fail, runs the workers, and takes the signals:
 * the first TERM drains, a second one or INT ends at once. The main thread does nothing else while sessions run.
 */
#include "commands.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "dataplane.h"
#include "diagnose.h"
#include "hello.h"
#include "listener.h"
#include "log.h"
#include "options.h"
#include "worker.h"

#define SESSIONS_BY_DEFAULT 65536 /* at most: the maps are allocated ahead, 320 bytes of kernel memory a session */

/* What attach owns. */
struct attach {
	struct options options;
	struct router router;
	struct worker *workers;
	unsigned int running;
	char plane[768]; /* the data plane and why, for the ready line */
	int signals;
};

/* --- limits --- */

/* The soft limit up to the hard one: sessions are what descriptors are for. */
static int raise_descriptor_limit(struct rlimit *limit)
{
	if (getrlimit(RLIMIT_NOFILE, limit))
		return -errno;
	limit->rlim_cur = limit->rlim_max;
	return setrlimit(RLIMIT_NOFILE, limit) ? -errno : 0;
}

static int decide_limits(struct attach *attach)
{
	const struct options *options = &attach->options;
	unsigned int possible, wanted = options->max_connections;
	struct rlimit limit = {0};
	int error = raise_descriptor_limit(&limit);

	if (error) {
		log_error("cannot raise the descriptor limit: %s", strerror(-error));
		return error;
	}
	possible = diagnose_session_limit(options, limit.rlim_max);
	if (possible == 0 || possible < wanted) {
		log_error("the descriptor limit of %llu allows %u sessions; --max-connections %u needs %llu "
			  "(LimitNOFILE=, ulimit -Hn)",
			  (unsigned long long)limit.rlim_max, possible, wanted ? wanted : 1,
			  (unsigned long long)diagnose_descriptors_needed(options, wanted ? wanted : 1));
		return -EMFILE;
	}
	if (!wanted)
		wanted = possible < SESSIONS_BY_DEFAULT ? possible : SESSIONS_BY_DEFAULT;
	attach->router.max_sessions = wanted;
	attach->router.workers = diagnose_workers(options);
	if (attach->router.workers > wanted)
		attach->router.workers = wanted;
	attach->router.slots_per_worker = (wanted + attach->router.workers - 1) / attach->router.workers;
	return 0;
}

/* --- the data plane --- */

/* Exactness comes before speed: `auto` does not use a sockmap that is known to lose data, `sockmap` warns of it. */
static int check_kernel(enum dataplane_choice choice, char *reason, size_t reason_size)
{
	struct utsname names;
	char name[sizeof(names.release)];

	if (uname(&names) || !diagnose_kernel_too_old(names.release, names.version, name, sizeof(name)))
		return 0;
	snprintf(reason, reason_size, "kernel %s: " DIAGNOSE_KERNEL_FAULT, name);
	if (choice == DATAPLANE_AUTO)
		return -EOPNOTSUPP;
	log_warn("%s", reason);
	return 0;
}

static int open_dataplane(struct attach *attach)
{
	struct router *router = &attach->router;
	enum dataplane_choice choice = attach->options.dataplane;
	char reason[512] = "";
	int error = 0;

	if (choice != DATAPLANE_USER) {
		error = check_kernel(choice, reason, sizeof(reason));
		if (!error)
			error = dataplane_selftest(reason, sizeof(reason));
		if (!error)
			error = dataplane_open_sockmap(&router->dataplane, router->workers, router->slots_per_worker,
						       reason, sizeof(reason));
		if (!error) {
			snprintf(attach->plane, sizeof(attach->plane),
				 "sockmap (the self-test moved bytes in the kernel)");
			return 0;
		}
		if (choice == DATAPLANE_SOCKMAP) {
			log_error("--dataplane sockmap: %s", reason);
			return error;
		}
		log_warn("no sockmap data plane, user space moves the bytes: %s", reason);
	}
	error = dataplane_open_user(&router->dataplane, router->workers, router->slots_per_worker);
	if (error)
		log_error("no memory for %u sessions", router->max_sessions);
	snprintf(attach->plane, sizeof(attach->plane), "user (%s)",
		 choice == DATAPLANE_USER ? "asked for" : "as said above");
	return error;
}

/* --- listeners and workers --- */

/* False: nobody asked for this family by name, and this machine does not have it. */
static bool is_absent(const struct options *options, int error)
{
	return error == -EAFNOSUPPORT && options->listeners_default;
}

/*
 * SO_REUSEPORT lets a second alpnbpf of the same user bind beside us, and take half of the connections: first make sure
 * that the addresses are free.
 */
static int check_listeners(struct attach *attach)
{
	const struct options *options = &attach->options;
	char name[ADDRESS_TEXT_MAX], reason[DIAGNOSE_TEXT_MAX];

	for (unsigned int i = 0; i < options->listener_count; i++) {
		int error = diagnose_bind(&options->listeners[i], reason, sizeof(reason));

		if (!error || is_absent(options, error))
			continue;
		log_error("cannot listen on %s: %s", address_format(&options->listeners[i], name, sizeof(name)),
			  reason);
		return error;
	}
	return 0;
}

static int open_listeners(struct attach *attach, struct worker *worker)
{
	const struct options *options = &attach->options;
	char reason[ADDRESS_TEXT_MAX + DIAGNOSE_TEXT_MAX + 32];
	int error = 0;

	for (unsigned int i = 0; i < options->listener_count; i++) {
		error = listener_open(worker, &options->listeners[i], reason, sizeof(reason));
		if (error && !is_absent(options, error))
			break;
		if (error && worker->index == 0)
			log_warn("%s; left out", reason);
		error = 0;
	}
	if (!error && worker->listener_count == 0) {
		snprintf(reason, sizeof(reason), "this machine has neither IPv4 nor IPv6");
		error = -EAFNOSUPPORT;
	}
	if (error)
		log_error("%s", reason);
	return error;
}

static int start_workers(struct attach *attach)
{
	struct router *router = &attach->router;
	int error;

	attach->workers = calloc(router->workers, sizeof(struct worker));
	if (!attach->workers)
		return -ENOMEM;
	for (unsigned int i = 0; i < router->workers; i++) {
		error = worker_init(&attach->workers[i], router, i);
		if (error) {
			log_error("cannot set up worker %u: %s", i, strerror(-error));
			return error;
		}
		/* All before the first one accepts: a group of listeners that grows moves connections about. */
		error = open_listeners(attach, &attach->workers[i]);
		if (error)
			return error;
	}
	for (; attach->running < router->workers; attach->running++) {
		error = worker_start(&attach->workers[attach->running]);
		if (error) {
			log_error("cannot start worker %u: %s", attach->running, strerror(-error));
			return error;
		}
	}
	return 0;
}

/* --- readiness --- */

static void announce(const struct attach *attach)
{
	const struct options *options = &attach->options;
	const struct worker *worker = &attach->workers[0];
	char listeners[512], name[ADDRESS_TEXT_MAX];
	size_t length = 0;

	for (unsigned int i = 0; i < worker->listener_count && length < sizeof(listeners); i++)
		length += (size_t)snprintf(listeners + length, sizeof(listeners) - length, "%s%s", i ? ", " : "",
					   address_format(&worker->listeners[i].address, name, sizeof(name)));
	log_info("ready: listening on %s; acme -> %s, https -> %s; data plane %s; %u workers, %u sessions at most",
		 listeners, options->backends[ROUTE_ACME].text, options->backends[ROUTE_HTTPS].text, attach->plane,
		 attach->router.workers, attach->router.max_sessions);
	notify_service_manager("READY=1");
}

/* What the run came to, as key=value. */
static void log_totals(const struct attach *attach)
{
	struct counters sum;
	char line[900];
	size_t length;

	memset(&sum, 0, sizeof(sum)); /* it is read as an array below */
	for (unsigned int i = 0; i < attach->running; i++) {
		const uint64_t *from = (const uint64_t *)&attach->workers[i].counters;
		uint64_t *to = (uint64_t *)&sum;

		for (size_t field = 0; field < sizeof(sum) / sizeof(uint64_t); field++)
			to[field] += from[field];
	}
	length = (size_t)snprintf(
		line, sizeof(line),
		"sessions=%llu hello_https=%llu hello_acme=%llu hello_not_tls=%llu hello_malformed=%llu "
		"hello_too_large=%llu hello_incomplete=%llu hello_timeout=%llu hello_silent=%llu acme_fallbacks=%llu "
		"connect_retries=%llu accept_backoffs=%llu source_refused=%llu kernel_bytes=%llu user_bytes=%llu "
		"trimmed_bytes=%llu",
		(unsigned long long)sum.sessions, (unsigned long long)sum.hellos[CLIENTHELLO_HTTPS],
		(unsigned long long)sum.hellos[CLIENTHELLO_ACME], (unsigned long long)sum.hellos[CLIENTHELLO_NOT_TLS],
		(unsigned long long)sum.hellos[CLIENTHELLO_MALFORMED],
		(unsigned long long)sum.hellos[CLIENTHELLO_TOO_LARGE], (unsigned long long)sum.hellos[CLIENTHELLO_MORE],
		(unsigned long long)sum.hello_timeout, (unsigned long long)sum.hello_silent,
		(unsigned long long)sum.acme_fallbacks, (unsigned long long)sum.connect_retries,
		(unsigned long long)sum.accept_backoffs, (unsigned long long)sum.source_refused,
		(unsigned long long)sum.bytes_kernel, (unsigned long long)sum.bytes_user,
		(unsigned long long)sum.trimmed);
	for (int cause = 0; cause < CAUSES && length < sizeof(line); cause++)
		if (sum.causes[cause])
			length += (size_t)snprintf(line + length, sizeof(line) - length, " end_%s=%llu",
						   session_cause_name((enum session_cause)cause),
						   (unsigned long long)sum.causes[cause]);
	log_info("totals: %s", line);
}

/* --- running and ending --- */

static void tell_workers(struct attach *attach, enum worker_command command)
{
	for (unsigned int i = 0; i < attach->running; i++)
		worker_tell(&attach->workers[i], command);
}

static void end_now(struct attach *attach, const char *why)
{
	log_info("ending now: %s", why);
	tell_workers(attach, WORKER_STOP);
}

static void take_signal(struct attach *attach, uint64_t *drain_until)
{
	struct signalfd_siginfo info;

	if (read(attach->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP && !isatty(STDERR_FILENO)) {
		log_warn("SIGHUP ignored: there is no configuration to read again; SIGTERM drains and ends");
		return;
	}
	if (info.ssi_signo == SIGINT || *drain_until || attach->options.drain_timeout_ms == 0) {
		if (!*drain_until)
			notify_service_manager("STOPPING=1");
		end_now(attach, info.ssi_signo == SIGINT ? "SIGINT" : "a second signal");
		*drain_until = UINT64_MAX;
		return;
	}
	*drain_until = monotonic_us() + attach->options.drain_timeout_ms * MS;
	log_info("draining: no new connections, %u ms for those there are", attach->options.drain_timeout_ms);
	notify_service_manager("STOPPING=1");
	tell_workers(attach, WORKER_DRAIN);
}

/* Milliseconds to wait, rounded up; -1 without a deadline. */
static int wait_ms(uint64_t until)
{
	uint64_t now = monotonic_us();

	if (!until || until == UINT64_MAX)
		return -1;
	return until > now ? (int)((until - now) / MS + 1) : 0;
}

static int run(struct attach *attach)
{
	struct pollfd wait[2] = {{.fd = attach->signals, .events = POLLIN},
				 {.fd = attach->router.finished, .events = POLLIN}};
	unsigned int left = attach->running;
	uint64_t drain_until = 0;
	int result = 0;

	while (left) {
		int ready = poll(wait, 2, wait_ms(drain_until));
		uint64_t ended;

		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready == 0) {
			end_now(attach, "--drain-timeout is over");
			drain_until = UINT64_MAX;
		}
		if (ready > 0 && wait[0].revents)
			take_signal(attach, &drain_until);
		if (ready > 0 && wait[1].revents && read(wait[1].fd, &ended, sizeof(ended)) == sizeof(ended)) {
			left -= ended < left ? (unsigned int)ended : left;
			/* A worker that ends unasked has said why. Its listeners would still get their share of the
			 * connections: it takes the program with it, and the service manager restarts that. */
			if (!drain_until) {
				end_now(attach, "a worker failed");
				drain_until = UINT64_MAX;
				result = -EIO;
			}
		}
	}
	return result;
}

static int set_up(struct attach *attach)
{
	int error = decide_limits(attach);

	if (!error)
		error = check_listeners(attach);
	if (!error)
		error = open_dataplane(attach);
	if (error)
		return error;
	if (attach->options.max_per_source) {
		attach->router.sources = source_table_new(attach->router.max_sessions, attach->options.max_per_source);
		if (!attach->router.sources)
			return -ENOMEM;
	}
	return start_workers(attach);
}

static int open_signals(struct attach *attach)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN); /* a log reader that has gone away */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL); /* before threads start: they inherit it */
	attach->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	attach->router.finished = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (attach->signals < 0 || attach->router.finished < 0) {
		log_error("cannot take signals: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

static void tear_down(struct attach *attach, bool started)
{
	tell_workers(attach, WORKER_STOP); /* those that have ended do not mind */
	for (unsigned int i = 0; i < attach->running; i++)
		pthread_join(attach->workers[i].thread, NULL);
	if (started)
		log_totals(attach);
	for (unsigned int i = 0; attach->workers && i < attach->router.workers; i++)
		worker_free(&attach->workers[i]);
	free(attach->workers);
	source_table_free(attach->router.sources);
	dataplane_close(&attach->router.dataplane);
	close(attach->signals);
	close(attach->router.finished);
}

int cmd_attach(int argc, char **argv)
{
	static struct attach attach = {.signals = -1};
	int result;

	if (!command_options(&attach.options, argc, argv, &result))
		return result;
	log_init(attach.options.log_level, attach.options.log_format);
	attach.router.options = &attach.options;
	result = open_signals(&attach);
	if (result)
		return EXIT_FAILED;
	result = set_up(&attach);
	if (!result) {
		announce(&attach);
		result = run(&attach);
		tear_down(&attach, true);
	} else {
		tear_down(&attach, false);
	}
	return result ? EXIT_FAILED : EXIT_DONE;
}
