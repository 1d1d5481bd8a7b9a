// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sets up attach: limits, ports, routing, data plane, steering, listeners. Logs every error with its remedy. Owns what
 * it opens until attach_tear_down(); start.c does the next step. Main thread, before any worker runs.
 */
#include "attach/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "steering/endpoint.h"
#include "steering/owners.h"
#include "system/activation.h"
#include "dataplane/dataplane.h"
#include "dataplane/kernels.h"
#include "options/config_file.h"
#include "options/needs.h"
#include "system/ports.h"
#include "system/process.h"
#include "system/lock.h"
#include "engine/listener.h"
#include "engine/worker.h"
#include "base/log.h"
#include "operate/operate.h"
#include "system/notify.h"
#include "system/policy_route.h"

#define SESSIONS_BY_DEFAULT 65536 /* at most: the maps take 320 bytes of kernel memory per session in advance */

/* --- limits --- */

/* Raises the soft limit to the hard one. */
static int raise_descriptor_limit(struct rlimit *limit)
{
	if (getrlimit(RLIMIT_NOFILE, limit))
		return -errno;
	limit->rlim_cur = limit->rlim_max;
	return setrlimit(RLIMIT_NOFILE, limit) ? -errno : 0;
}

static int decide_limits(struct attach *attach)
{
	const struct options *options = &attach->program.options;
	unsigned int possible, wanted = options->max_connections;
	struct rlimit limit = {0};
	int error = getrlimit(RLIMIT_NOFILE, &attach->nofile) ? -errno : raise_descriptor_limit(&limit);

	if (error) {
		log_error("cannot raise the descriptor limit: %s", strerror(-error));
		return error;
	}
	possible = needs_session_limit(options, limit.rlim_max);
	if (possible == 0 || possible < wanted) {
		log_error("the descriptor limit of %llu allows %u sessions; --max-connections %u needs %llu"
			  "; raise it (LimitNOFILE=, ulimit -Hn)",
			  (unsigned long long)limit.rlim_max, possible, wanted ? wanted : 1,
			  (unsigned long long)needs_descriptors(options, wanted ? wanted : 1));
		return -EMFILE;
	}
	if (!wanted)
		wanted = possible < SESSIONS_BY_DEFAULT ? possible : SESSIONS_BY_DEFAULT;
	engine_divide(&attach->program.engine, wanted, needs_workers(options));
	return 0;
}

/* --- the data plane --- */

/* `auto` does not use a sockmap that is known to lose data; `sockmap` uses it with a warning. */
static int check_sockmap_kernel(enum dataplane_choice choice, struct sentence *why)
{
	struct utsname names;
	char name[sizeof(names.release)];

	if (uname(&names) || !kernel_is_too_old(names.release, names.version, name, sizeof(name)))
		return 0;
	sentence_set(why, "kernel %s: " KERNEL_FAULT, name);
	if (choice == DATAPLANE_AUTO)
		return -EOPNOTSUPP;
	log_warn("%s", why->text);
	return 0;
}

static int open_dataplane(struct attach *attach)
{
	struct engine *engine = &attach->program.engine;
	enum dataplane_choice choice = attach->program.options.dataplane;
	bool rules = attach->program.options.routes.count > 0;
	struct sentence why;
	int error = 0;

	if (choice != DATAPLANE_USER) {
		error = check_sockmap_kernel(choice, &why);
		if (!error)
			error = dataplane_selftest(rules, &why);
		if (!error)
			error = dataplane_open_sockmap(&engine->dataplane, engine->worker_count,
						       engine->slots_per_worker, rules, &why);
		if (!error) {
			snprintf(attach->program.dataplane_text, sizeof(attach->program.dataplane_text),
				 "%s (the self-test moved bytes in the kernel)",
				 choice == DATAPLANE_SOCKMAP ? "sockmap" : "auto");
			return 0;
		}
		if (choice == DATAPLANE_SOCKMAP) {
			log_error("--dataplane sockmap: %s", why.text);
			return error;
		}
		log_warn("no sockmap data plane: %s; moving the bytes in user space instead", why.text);
	}
	error = dataplane_open_user(&engine->dataplane, engine->worker_count, engine->slots_per_worker, rules);
	if (error)
		log_error("out of memory for %u sessions", engine->max_sessions);
	snprintf(attach->program.dataplane_text, sizeof(attach->program.dataplane_text), "user (%s)",
		 choice == DATAPLANE_USER ? "as configured" : "sockmap unavailable, see the log");
	return error;
}

/* --- listeners and workers --- */

/* Is it of a family that no option names and this machine does not have? */
static bool is_absent(const struct options *options, unsigned int listener, int error)
{
	return error == -EAFNOSUPPORT && options->listener_implied[listener];
}

/*
 * SO_REUSEPORT would let a second alpnbpf of the same user bind the same port and take half of the connections: first
 * make sure that the addresses are free.
 */
static int check_listeners(struct attach *attach)
{
	const struct options *options = &attach->program.options;
	char name[ADDRESS_TEXT_MAX];
	struct sentence why;

	for (unsigned int i = 0; !options->activated && i < options->listener_count; i++) {
		int error;

		if (options->in_place[i]) /* the web server's */
			continue;
		error = port_try_bind(&options->listeners[i], &why);
		if (!error || is_absent(options, i, error))
			continue;
		log_error("cannot listen on %s: %s", address_format(&options->listeners[i], name, sizeof(name)),
			  why.text);
		return error;
	}
	return 0;
}

/* Takes a lock of this network namespace for what alpnbpf `does`. 0, or -errno after logging an error. */
static int hold_lock(struct attach *attach, const char *name, const char *does)
{
	struct sentence holder;
	int lock = lock_take(name, &holder);

	if (lock >= 0) {
		attach->locks[attach->lock_count++] = lock;
		return 0;
	}
	if (lock == -EPERM) {
		log_warn("%s, not known to be root's or alpnbpf's, holds alpnbpf's instance lock; a second alpnbpf "
			 "that %s cannot be ruled out",
			 holder.text, does);
		return 0;
	}
	if (lock == -EADDRINUSE)
		log_error("%s already %s in this network namespace; stop it first", holder.text, does);
	else
		log_error("cannot take the instance lock: %s", holder.text);
	return lock;
}

/* In place, we do not bind the port itself, so only a lock keeps a second alpnbpf away from it. */
static int hold_ports(struct attach *attach)
{
	const struct options *options = &attach->program.options;
	char name[32], does[64];
	int error = 0;

	for (unsigned int i = 0; !error && i < options->listener_count; i++) {
		unsigned int port = address_port(&options->listeners[i]);
		bool taken = false;

		for (unsigned int before = 0; before < i; before++)
			taken = taken ||
				(options->in_place[before] && address_port(&options->listeners[before]) == port);
		if (!options->in_place[i] || taken)
			continue;
		snprintf(name, sizeof(name), LOCK_IN_PLACE, port);
		snprintf(does, sizeof(does), "serves port %u in place", port);
		error = hold_lock(attach, name, does);
	}
	return error;
}

static int open_policy_route(struct attach *attach)
{
	struct sentence why;
	int error;

	if (attach->program.options.client_address != CLIENT_ADDRESS_TRANSPARENT)
		return 0;
	error = hold_lock(attach, "transparent", "has --client-address transparent");
	if (error)
		return error;
	error = policy_route_add(&why);
	attach->routed = !error;
	if (error)
		log_error("--client-address transparent: %s", why.text);
	else if (*why.text)
		log_warn("--client-address transparent: %s; continuing without it", why.text);
	return error;
}

static void warn_of_published(const struct address *address)
{
	char holder[PROCESS_TEXT_MAX];

	if (port_find_holder(address, holder, sizeof(holder)) && port_is_published(holder))
		log_warn("%s has port %u: " PORT_PUBLISHED, holder, address_port(address));
}

/* The web server may start later, but an operator may also have forgotten it, or have it in a container. */
static void warn_of_web_server(const struct options *options)
{
	char name[ADDRESS_TEXT_MAX];
	unsigned int free = LISTENERS_MAX;

	for (unsigned int i = 0; i < options->listener_count; i++) {
		if (!options->in_place[i])
			continue;
		if (port_is_taken(&options->listeners[i])) {
			warn_of_published(&options->listeners[i]);
			return;
		}
		if (free == LISTENERS_MAX)
			free = i;
	}
	if (free < LISTENERS_MAX)
		log_warn("nothing listens on %s yet; connections are refused until the web server starts",
			 address_format(&options->listeners[free], name, sizeof(name)));
}

static void warn_of_traces(const struct removal *removal)
{
	struct sentence said;

	removal_describe_trace(removal, &said);
	log_warn("%s", said.text);
}

static int open_steering(struct attach *attach)
{
	struct sentence why;
	int error = steer_open(&attach->program.engine.steer, &attach->program.options,
			       attach->program.engine.worker_count, attach->program.engine.max_sessions, &why);

	if (error && attach->program.options.in_place_count &&
	    strncmp(why.text, "--", 2) != 0) /* these name their remedy */
		log_error("cannot serve the web server in place: %s; instead, move it to another port (--https 8443)",
			  why.text);
	else if (error)
		log_error("%s", why.text);
	else if (*attach->program.engine.steer.watch.removal.why_trace)
		warn_of_traces(&attach->program.engine.steer.watch.removal);
	if (!error && *attach->program.engine.steer.asker.why_not.text)
		log_warn("connections are made to whoever listens at the ports of backends: %s; where no other users "
			 "are, say so: --acme-user any --https-user any",
			 attach->program.engine.steer.asker.why_not.text);
	return error;
}

/* Opens listeners for connections steered to us, without a family that the machine does not have. */
static int open_private_listeners(struct attach *attach, struct worker *worker, struct sentence *why)
{
	const struct options *options = &attach->program.options;
	bool wanted[STEER_FAMILIES] = {false}, by_name[STEER_FAMILIES] = {false};

	for (unsigned int i = 0; i < options->listener_count; i++) {
		enum steer_family family = steer_family_of(&options->listeners[i]);

		if (!options->in_place[i])
			continue;
		wanted[family] = true;
		by_name[family] = by_name[family] || !options->listener_implied[i];
	}
	for (int family = 0; family < STEER_FAMILIES; family++) {
		int error;

		if (!wanted[family])
			continue;
		error = listener_open_private(worker, (enum steer_family)family, why);
		if ((error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL) && !by_name[family]) {
			if (worker->index == 0)
				log_warn("%s; continuing without it", why->text);
		} else if (error) {
			return error;
		}
	}
	return 0;
}

static int open_listeners(struct attach *attach, struct worker *worker)
{
	const struct options *options = &attach->program.options;
	struct sentence why = {0};
	int error = 0;

	for (unsigned int i = 0; !error && options->activated && i < options->activated->count; i++)
		error = listener_share(worker, options->activated->sockets[i].fd,
				       &options->activated->sockets[i].address, &why);
	for (unsigned int i = 0; !options->activated && i < options->listener_count; i++) {
		if (options->in_place[i])
			continue;
		error = listener_open(worker, &options->listeners[i], &why);
		if (error && !is_absent(options, i, error))
			break;
		if (error && worker->index == 0)
			log_warn("%s; continuing without it", why.text);
		error = 0;
	}
	if (!error)
		error = open_private_listeners(attach, worker, &why);
	if (!error && worker->accepting.count == 0)
		error = sentence_error(&why, -EAFNOSUPPORT, "this machine has neither IPv4 nor IPv6");
	if (error)
		log_error("%s", why.text);
	return error;
}

/* Opens all of them before the first worker accepts: adding a socket to a reuseport group reassigns connections. */
static int open_all_listeners(struct attach *attach)
{
	struct engine *engine = &attach->program.engine;
	int error = 0;

	for (unsigned int i = 0; !error && i < engine->worker_count; i++)
		error = open_listeners(attach, &engine->workers[i]);
	return error;
}

static int open_engine(struct attach *attach)
{
	int error = engine_open(&attach->program.engine);

	if (error)
		log_error("cannot open the descriptors for the workers' messages: %s", strerror(-error));
	return error;
}

static int set_up_engine(struct attach *attach)
{
	struct sentence why;
	int error = engine_set_up(&attach->program.engine, &attach->program.options, &why);

	if (error)
		log_error("%s", why.text);
	return error;
}

static int start_steering(struct attach *attach)
{
	struct sentence why;
	int error;

	log_wait_for_reader(false); /* connections come from here on */
	error = steer_start(&attach->program.engine.steer, &why);
	if (error)
		log_error("%s", why.text);
	else if (!attach->program.options.command)
		warn_of_web_server(&attach->program.options);
	return error;
}

static int decide_user(struct attach *attach)
{
	struct user *user = &attach->program.user;
	struct sentence why;
	int error = user_decide(user, attach->program.options.user, &why);

	if (!error && user->changes)
		owners_run_as(user->uid);
	if (error)
		log_error("%s", why.text);
	else if (*user->warning.text)
		log_warn("%s", user->warning.text);
	return error;
}

static void warn_of_config_writers(const struct options *options)
{
	struct sentence who;

	if (options->config && config_file_writers(options->config, &who))
		log_warn(
			"--config %s: %s, and so decides where connections go from the next reload on; give it to root",
			options->config, who.text);
}

int attach_set_up(struct attach *attach)
{
	int error = decide_user(attach);

	warn_of_config_writers(&attach->program.options);

	notify_open();
	if (!error)
		error = open_engine(attach);

	if (!error)
		error = decide_limits(attach);
	if (!error)
		error = operate_open(&attach->program);
	if (!error)
		error = check_listeners(attach);
	if (!error)
		error = hold_ports(attach);
	if (!error)
		error = open_policy_route(attach);
	if (!error)
		error = open_dataplane(attach);
	if (!error)
		error = open_steering(attach);
	if (!error)
		error = set_up_engine(attach);
	if (!error)
		error = open_all_listeners(attach);
	return error ? error : start_steering(attach);
}

void attach_tear_down(struct attach *attach)
{
	engine_close(&attach->program.engine);
	if (attach->routed)
		policy_route_remove();
	for (unsigned int i = 0; i < attach->lock_count; i++)
		close(attach->locks[i]);
}
