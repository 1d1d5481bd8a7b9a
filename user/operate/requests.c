// SPDX-License-Identifier: BSD-2-Clause
/*
 * The two servers of a running attach. A request to the control socket is a line: a command and its words. The answer
 * begins with a line "ok", or "error: " and a sentence; what was asked for follows.
 */
#include "operate/requests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/ports.h"
#include "base/log.h"
#include "operate/control_request.h"
#include "operate/http.h"
#include "operate/metrics.h"
#include "operate/reload.h"
#include "operate/status.h"
#include "operate/trace_output.h"

#define BACKLOG 64

enum follows { FOLLOWS_END = 1 };

static void answer_error(struct server_client *client, const char *sentence)
{
	text_add(server_answer(client), "error: %s\n", sentence);
}

static void answer_ok(struct server_client *client)
{
	text_add(server_answer(client), "ok\n");
}

/* --- the commands --- */

static void answer_status(struct program *program, struct server_client *client, const struct control_request *request)
{
	answer_ok(client);
	status_write(server_answer(client), program, request->json);
}

static void answer_sessions(struct program *program, struct server_client *client,
			    const struct control_request *request)
{
	struct text list = {0};

	if (sessions_write(&list, program, request->json) && !list.failed) {
		answer_ok(client);
		if (list.length)
			text_add_bytes(server_answer(client), list.bytes, list.length);
	} else {
		answer_error(client, "a worker did not answer in time, or memory ran out");
	}
	text_free(&list);
}

static void answer_ready(struct program *program, struct server_client *client)
{
	if (program->phase == PROGRAM_RUNNING)
		answer_ok(client);
	else
		answer_error(client, program->phase == PROGRAM_STARTING ? "not ready yet" : "draining");
}

static void answer_reload(struct program *program, struct server_client *client)
{
	char sentence[1024];

	if (!reload(program, sentence, sizeof(sentence)))
		answer_error(client, sentence);
	else
		text_add(server_answer(client), "ok\n%s\n", sentence);
}

/* Who asked sees the end of the connection when the process has ended. */
static void answer_detach(struct program *program, struct server_client *client, const struct control_request *request)
{
	answer_ok(client);
	server_keep(client, FOLLOWS_END);
	program->end_asked = request->now ? END_NOW : END_DRAIN;
}

static void answer_trace(struct program *program, struct server_client *client, const struct control_request *request)
{
	if (request->route != ROUTE_UNDECIDED && !program->options.backends[request->route].count)
		answer_error(client, "there is no such route");
	else if (!server_follow(&program->servers, client,
				TRACE_FOLLOWS | (request->json ? TRACE_JSON : 0U) | (uint32_t)request->route))
		text_add(server_answer(client), "error: too many watchers already (limit %d)\n", SERVER_FOLLOWERS);
	else
		answer_ok(client);
}

static void answer_control(struct server *server, struct server_client *client, char *line)
{
	struct program *program = server->context;
	struct control_request request;
	struct sentence why = {0};

	if (!control_request_parse(&request, line, &why)) {
		answer_error(client, why.text);
		return;
	}
	switch (request.command) {
	case CONTROL_STATUS:
		answer_status(program, client, &request);
		return;
	case CONTROL_SESSIONS:
		answer_sessions(program, client, &request);
		return;
	case CONTROL_READY:
		answer_ready(program, client);
		return;
	case CONTROL_TRACE:
		answer_trace(program, client, &request);
		return;
	case CONTROL_RELOAD:
		answer_reload(program, client);
		return;
	case CONTROL_DETACH:
		answer_detach(program, client, &request);
		return;
	case CONTROL_COMMANDS:
		return;
	}
}

static void refuse_control(struct server *server, struct server_client *client)
{
	(void)server;
	answer_error(client, "the request is too long");
}

static bool admit_control(struct server *server, struct server_client *client, int fd)
{
	struct program *program = server->context;

	if (control_admits(&program->control, fd))
		return true;
	answer_error(client, program->control.has_group
				     ? "only root, alpnbpf's own user and the members of --control-group may ask"
				     : "only root and alpnbpf's own user may ask; --control-group lets others");
	return false;
}

/* --- metrics --- */

static void answer_metrics(struct server *server, struct server_client *client, char *request)
{
	metrics_answer(server_answer(client), server->context, request);
}

static void refuse_metrics(struct server *server, struct server_client *client)
{
	(void)server;
	http_refuse(server_answer(client), HTTP_TOO_LARGE);
}

/* A socket file that nobody answers at was left by a killed process. */
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

static int open_metrics(const struct address *address)
{
	int on = 1, error, fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (address->sa.sa_family == AF_UNIX)
		remove_stale(address);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address->sa, address->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static int start_metrics(struct program *program)
{
	const struct address *address = &program->options.metrics_address;
	char name[ADDRESS_TEXT_MAX];
	struct sentence why;

	if (!program->options.metrics)
		return 0;
	program->metrics_server = (struct server){.what = "the metrics server",
						  .terminator = "\r\n\r\n",
						  .answer = answer_metrics,
						  .refuse = refuse_metrics,
						  .context = program,
						  .fd = open_metrics(address)};
	if (program->metrics_server.fd >= 0)
		return servers_add(&program->servers, &program->metrics_server);
	if (address->sa.sa_family == AF_UNIX)
		sentence_set(&why, "%s", strerror(-program->metrics_server.fd));
	else
		port_explain(address, program->metrics_server.fd, &why);
	log_error("--metrics: cannot listen on %s: %s", address_format(address, name, sizeof(name)), why.text);
	return program->metrics_server.fd;
}

/* --- both --- */

static int start_control(struct program *program)
{
	const struct options *options = &program->options;
	char reason[512];
	int error = control_open(&program->control, options, reason, sizeof(reason));

	if (!error) {
		program->control_server = (struct server){.what = "the control socket",
							  .terminator = "\n",
							  .admit = admit_control,
							  .answer = answer_control,
							  .refuse = refuse_control,
							  .context = program,
							  .fd = program->control.fd};
		return servers_add(&program->servers, &program->control_server);
	}
	if (*options->name || *options->control_group) {
		log_error("%s", reason);
		return error;
	}
	log_warn("no control socket, \"alpnbpf status\" and the like cannot be asked: %s", reason);
	return 0;
}

int operate_open(struct program *program)
{
	int error = servers_open(&program->servers);

	program->control.fd = program->control.lock = program->metrics_server.fd = -1;
	if (error)
		log_error("cannot open the control socket: %s", strerror(-error));
	if (!error)
		error = start_control(program);
	return error ? error : start_metrics(program);
}

void operate_close(struct program *program)
{
	if (program->metrics_server.fd > 0) {
		if (program->options.metrics_address.sa.sa_family == AF_UNIX)
			unlink(program->options.metrics_address.un.sun_path);
		close(program->metrics_server.fd);
	}
	if (program->servers.epoll > 0) {
		control_close(&program->control);
		servers_close(&program->servers);
	}
}
