// SPDX-License-Identifier: BSD-2-Clause
/*
 * The step from set-up to service: starts the workers in a process of their own, then drops the privileges that only
 * the set-up needed (system/sandbox.h). Owns nothing. Main thread, before any worker runs.
 */
#include "attach/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/listener.h"
#include "engine/socket_options.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "system/run_directory.h"
#include "system/capabilities.h"
#include "system/sandbox.h"

/*
 * The workers read bytes of the network: they have no file, no signal and no capability. Before this process drops its
 * own, because what takes rights to drop is dropped twice.
 */
static int start_workers(struct attach *attach, const struct sandbox *sandbox)
{
	struct sandbox workers = *sandbox;
	struct sentence why;
	int error;

	workers.roles = SANDBOX_WORKERS;
	workers.binds = attach->program.engine.steer.own.are_tracked && !attach->program.engine.steer.own.by_sock_ops;
	workers.capabilities = 0;
	workers.config = NULL;
	memset(workers.writable, 0, sizeof(workers.writable));
	workers.child = 0;
	workers.parent = getpid();
	error = engine_start(&attach->program.engine, &workers, &why);
	if (error && *why.text)
		log_error("%s", why.text);
	return error;
}

/* The kernel doubles the value. Beyond its limit it requires a capability that is usually dropped by now. */
static void warn_of_buffers(const struct options *options)
{
	unsigned int wanted = socket_buffer_share(BACKEND, options->buffer_bytes), send = wanted, receive = wanted;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	socklen_t length = sizeof(send);

	if (fd < 0)
		return;
	socket_set_buffers(fd, BACKEND, options);
	getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, &length);
	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, &length);
	close(fd);
	if (send < wanted || receive < wanted)
		log_info(
			"--buffer %u: buffering %u bytes per backend connection instead of %u, because net.core.%cmem_max is %u",
			options->buffer_bytes, send < receive ? send : receive, wanted, send < receive ? 'w' : 'r',
			(send < receive ? send : receive) / 2);
}

/*
 * CAP_KILL: to end a command that changed its user; seccomp limits kill() to that process. CAP_NET_ADMIN: to make
 * sockets for the clients' addresses, and to remove the routes at the end. What takeovers need, the repair helper has.
 */
static uint64_t kept_capabilities(const struct attach *attach)
{
	uint64_t keep = 0;

	if (attach->routed) {
		keep |= CAPABILITY(CAP_NET_ADMIN);
		log_info("keeping CAP_NET_ADMIN for --client-address transparent");
	}
	if (attach->child.pid)
		keep |= CAPABILITY(CAP_KILL);
	return keep;
}

/* The folder of the metrics socket, which is removed at the end. NULL if there is no such socket. */
static const char *metrics_folder(const struct attach *attach, char *out, size_t size)
{
	const struct address *address = &attach->program.options.metrics_address;
	char *slash;

	if (!attach->program.options.metrics || address->sa.sa_family != AF_UNIX)
		return NULL;
	snprintf(out, size, "%s", address->un.sun_path);
	slash = strrchr(out, '/');
	if (!slash)
		return ".";
	slash[slash == out] = '\0'; /* the root keeps its slash */
	return out;
}

/* --- what the user must be able to reach --- */

/* Files are reached as the user that alpnbpf runs as by now, and by root without CAP_DAC_OVERRIDE. */
static void warn_of_unix_backends(const struct options *options, const char *user)
{
	for (int route = 0; route < ROUTES; route++) {
		const struct endpoint *backend = &options->backends[route];

		if (backend->count && backend->addresses[0].sa.sa_family == AF_UNIX &&
		    access(backend->addresses[0].un.sun_path, W_OK) && errno == EACCES)
			log_warn(
				"%s -> %s: %s may not write to the socket; give it the socket's group, or choose another --user",
				route_name((enum route)route), backend->text, user);
	}
}

static void warn_of_config(const struct options *options, const char *user)
{
	if (options->config && access(options->config, R_OK))
		log_warn(
			"--config %s: %s cannot read it, so a reload will fail: %s; give it the file's group, and the group the right to read",
			options->config, user, strerror(errno));
}

/* May this process remove root's files in it? */
static bool may_remove_in(const char *folder)
{
	struct stat status;

	if (access(folder, W_OK) || stat(folder, &status))
		return false;
	return !(status.st_mode & S_ISVTX) || geteuid() == 0 || status.st_uid == geteuid();
}

static void tell_of_sockets(const struct attach *attach, const char *metrics, const char *user)
{
	if (attach->program.control.fd != NO_DESCRIPTOR && !may_remove_in(run_directory()))
		log_info("the control socket stays in %s at the end: %s may not remove it; the next start does",
			 run_directory(), user);
	if (metrics && !may_remove_in(metrics))
		log_info(
			"the metrics socket stays in %s at the end: %s may not remove it; the next start does. Put it into %s",
			metrics, user, run_directory());
}

static void tell_of_stages(const struct sandbox_report *report)
{
	/* The user has been told of; without seccomp or Landlock, a fault in a parser is worth more to an attacker. */
	for (enum sandbox_stage stage = SANDBOX_CAPABILITIES; stage < SANDBOX_STAGES; stage++) {
		const char *name = sandbox_stage_name(stage), *text = report->stages[stage].text;

		if (report->stages[stage].holds)
			log_debug("sandbox: %s: %s", name, text);
		else
			log_warn("sandbox: %s: not limited: %s", name, text);
	}
}

/* --- the step --- */

int attach_start(struct attach *attach)
{
	char path[sizeof(attach->program.options.metrics_address.un.sun_path)], user[USER_TEXT_MAX];
	struct program *program = &attach->program;
	const char *metrics = metrics_folder(attach, path, sizeof(path));
	struct sandbox sandbox = {.roles = SANDBOX_MAIN,
				  .user = &program->user,
				  .capabilities = kept_capabilities(attach),
				  .config = program->options.config,
				  .transparent = attach->routed,
				  .writable = {run_directory(), metrics},
				  .child = attach->child.pid};
	struct sentence why;
	int error;

	/* First, because the main loop looks at it even if privileges cannot be dropped. */
	watchdog_open(&attach->watchdog, program->engine.worker_count);
	error = start_workers(attach, &sandbox);
	if (error)
		return error;
	sandbox.workers = program->engine.process.pid;
	error = sandbox_enter(&sandbox, &program->sandbox, &why);
	if (error) {
		log_error("cannot drop privileges: %s", why.text);
		return error;
	}
	tell_of_stages(&program->sandbox);
	user_text(&program->user, user, sizeof(user));
	log_info("running as %s", user);
	warn_of_buffers(&program->options);
	warn_of_unix_backends(&program->options, user);
	warn_of_config(&program->options, user);
	tell_of_sockets(attach, metrics, user);
	return 0;
}
