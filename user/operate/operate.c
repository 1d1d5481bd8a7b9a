// SPDX-License-Identifier: BSD-2-Clause
/* The control socket and the metrics server: opens, runs and closes them. Owns their sockets. Main thread. */
#include "operate/operate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "operate/requests.h"
#include "operate/trace_output.h"
#include "system/ports.h"

#define BACKLOG 64

/* --- opening --- */

static int add_server(struct program *program, struct server *server)
{
	int error = servers_add(&program->servers, server);

	if (error)
		log_error("cannot wait for requests to %s: %s", server->what, strerror(-error));
	return error;
}

/* Removes a socket file that refuses connections: a killed process left it. */
static void remove_stale(const struct address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat status;

	if (fd < 0)
		return;
	if (connect(fd, &address->sa, address->len) && errno == ECONNREFUSED &&
	    stat(address->un.sun_path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(address->un.sun_path);
	close(fd);
}

/* The descriptor, or -errno. */
static int listen_for_metrics(const struct address *address)
{
	int on = 1, error, fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (address->sa.sa_family == AF_UNIX) {
		remove_stale(address);
		descriptor_refuse_passed(fd);
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	}
	if (bind(fd, &address->sa, address->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static int open_metrics(struct program *program)
{
	const struct address *address = &program->options.metrics_address;
	char name[ADDRESS_TEXT_MAX];
	struct sentence why;
	int fd;

	if (!program->options.metrics)
		return 0;
	fd = listen_for_metrics(address);
	if (fd >= 0) {
		program->metrics_server = requests_metrics_server(program);
		program->metrics_server.fd = fd;
		return add_server(program, &program->metrics_server);
	}
	if (address->sa.sa_family == AF_UNIX)
		sentence_set(&why, "%s", strerror(-fd));
	else
		port_explain(address, fd, &why);
	log_error("--metrics: cannot listen on %s: %s", address_format(address, name, sizeof(name)), why.text);
	return fd;
}

static int open_control(struct program *program)
{
	const struct options *options = &program->options;
	struct sentence why;
	int error = control_open(&program->control, options, &program->user, &why);

	if (!error) {
		program->control_server = requests_control_server(program);
		program->control_server.fd = program->control.fd;
		return add_server(program, &program->control_server);
	}
	if (*options->name || *options->control_group) {
		log_error("%s", why.text);
		return error;
	}
	log_warn("no control socket: %s; \"alpnbpf status\" and the like will not work", why.text);
	return 0;
}

int operate_open(struct program *program)
{
	int error = servers_open(&program->servers);

	if (error) {
		log_error("cannot create an epoll set for the control socket and metrics: %s", strerror(-error));
		return error;
	}
	error = open_control(program);
	return error ? error : open_metrics(program);
}

/* --- running --- */

static void empty_eventfd(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_debug("cannot read an eventfd: %s", strerror(errno));
}

void operate_run(struct program *program)
{
	empty_eventfd(program->engine.answered);
	servers_run(&program->servers);
	requests_run(program);
	if (trace_output_run(&program->engine.trace, &program->servers))
		servers_run(&program->servers);
}

void operate_poll(const struct program *program, struct pollfd *wait)
{
	wait[OPERATE_SERVERS] = (struct pollfd){.fd = program->servers.epoll, .events = POLLIN};
	wait[OPERATE_TRACE] = (struct pollfd){.fd = program->engine.trace.from, .events = POLLIN};
	wait[OPERATE_ANSWERS] = (struct pollfd){.fd = program->engine.answered, .events = POLLIN};
	wait[OPERATE_RELOAD] = (struct pollfd){.fd = reload_fd(&program->reload), .events = POLLIN};
}

uint64_t operate_next(const struct program *program)
{
	uint64_t servers = servers_next(&program->servers), requests = requests_next(program);

	return servers < requests ? servers : requests;
}

void operate_close(struct program *program)
{
	if (program->metrics_server.fd != NO_DESCRIPTOR && program->options.metrics_address.sa.sa_family == AF_UNIX)
		unlink(program->options.metrics_address.un.sun_path);
	descriptor_close(&program->metrics_server.fd);
	control_close(&program->control);
	servers_close(&program->servers);
}
