// SPDX-License-Identifier: BSD-2-Clause
/*
 * The step from setting up to serving: gives up the rights that only setting up took (system/sandbox.h), then starts
 * the workers. Owns nothing. Main thread, before any other runs.
 */
#include "attach/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/listener.h"
#include "engine/socket_options.h"
#include "base/log.h"
#include "system/run_directory.h"
#include "system/capabilities.h"
#include "system/sandbox.h"

static int start_workers(struct attach *attach)
{
	struct sentence why;
	int error = engine_start(&attach->program.engine, &why);

	if (error)
		log_error("%s", why.text);
	return error;
}

/* The kernel doubles what it is asked for; above its limit it takes a capability that is gone by now, as a rule. */
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
		log_info("--buffer %u: the backend's side holds %u bytes, not %u: net.core.%cmem_max is %u",
			 options->buffer_bytes, send < receive ? send : receive, wanted, send < receive ? 'w' : 'r',
			 (send < receive ? send : receive) / 2);
}

/*
 * CAP_KILL: a command that took another user has to be ended all the same; seccomp knows whom it may be used on.
 * CAP_NET_ADMIN: sockets with the clients' addresses are made all the time, and the routes go at the end; so are
 * sockets that go on with a connection (TCP_REPAIR), at the web server's port (CAP_NET_BIND_SERVICE).
 */
static uint64_t kept_capabilities(const struct attach *attach)
{
	uint64_t keep = 0;

	if (attach->routed) {
		keep |= CAPABILITY(CAP_NET_ADMIN);
		log_info("CAP_NET_ADMIN is kept, for --client-address transparent");
	}
	if (attach->program.engine.steer.watches) {
		keep |= CAPABILITY(CAP_NET_ADMIN) | CAPABILITY(CAP_NET_BIND_SERVICE);
		log_info(
			"CAP_NET_ADMIN and CAP_NET_BIND_SERVICE are kept, for connections that are taken over from the "
			"web server");
	}
	if (attach->child.pid)
		keep |= CAPABILITY(CAP_KILL);
	return keep;
}

/* Its socket is removed at the end. NULL: it has none. */
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

/* Permissions count for root too by now: it has no CAP_DAC_OVERRIDE any more. */
static void warn_of_unix_backends(const struct options *options)
{
	for (int route = 0; route < ROUTES; route++) {
		const struct endpoint *backend = &options->backends[route];

		if (backend->count && backend->addresses[0].sa.sa_family == AF_UNIX &&
		    access(backend->addresses[0].un.sun_path, W_OK) && errno == EACCES)
			log_warn(
				"%s -> %s: this user cannot write to the socket and root's override has been dropped: make it "
				"group- or world-writable",
				route_name((enum route)route), backend->text);
	}
}

int attach_start(struct attach *attach)
{
	char metrics[sizeof(attach->program.options.metrics_address.un.sun_path)];
	struct sandbox sandbox = {.capabilities = kept_capabilities(attach),
				  .config = attach->program.options.config,
				  .writable = {run_directory(), metrics_folder(attach, metrics, sizeof(metrics))},
				  .attaches = attach->program.engine.steer.watches,
				  .child = attach->child.pid};
	struct sentence why;
	int error = sandbox_enter(&sandbox, &why);

	if (error) {
		log_error("cannot give up rights: %s", why.text);
		return error;
	}
	warn_of_buffers(&attach->program.options);
	warn_of_unix_backends(&attach->program.options);
	watchdog_open(&attach->watchdog, attach->program.engine.worker_count);
	return start_workers(attach);
}
