// SPDX-License-Identifier: BSD-2-Clause
/*
 * Answers requests. A request to the control socket is one line, a command and its words; the answer starts with a line
 * "ok", or "error: " and a sentence, and the data follows. Owns struct snapshot_round. Main thread.
 */
#include "operate/requests.h"

#include "base/descriptor.h"
#include "base/timer.h"
#include "operate/control_request.h"
#include "operate/http.h"
#include "operate/metrics.h"
#include "operate/status.h"
#include "operate/trace_output.h"

#define SNAPSHOT_MS 1000 /* time for the workers to answer */

/* What clients wait for, or follow; TRACE_FOLLOWS is one more. */
enum subject { SUBJECT_SNAPSHOT = 1, SUBJECT_RELOAD, SUBJECT_END };

/* --- waiting for a snapshot of the workers --- */

static void wait_for_snapshot(struct program *program, struct server_client *client, enum snapshot_kind kind)
{
	if (program->round.next < kind) /* a snapshot of sessions includes the counters */
		program->round.next = kind;
	server_wait(client, SUBJECT_SNAPSHOT, program->round.turn + 1);
}

/* --- the control socket --- */

static void answer_error(struct server_client *client, const char *sentence)
{
	text_add(server_answer(client), "error: %s\n", sentence);
}

static void answer_ok(struct server_client *client)
{
	text_add(server_answer(client), "ok\n");
}

static void answer_status(struct program *program, struct server_client *client, const struct snapshot *snapshot,
			  bool json)
{
	answer_ok(client);
	status_write(server_answer(client), program, snapshot, json);
}

static void answer_sessions(struct server_client *client, const struct snapshot *snapshot, bool json)
{
	if (snapshot->failed) {
		answer_error(client, "a worker did not answer in time, or memory ran out");
		return;
	}
	answer_ok(client);
	sessions_write(server_answer(client), snapshot, json);
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
	if (program->reload.failed)
		answer_error(client, program->reload.result.text);
	else
		text_add(server_answer(client), "ok\n%s\n", program->reload.result.text);
}

/* The connection closes when the process ends. */
static void answer_detach(struct program *program, struct server_client *client, bool now)
{
	answer_ok(client);
	server_keep(client, SUBJECT_END);
	if (program->end_asked != END_NOW)
		program->end_asked = now ? END_NOW : END_DRAIN;
}

static void answer_trace(struct program *program, struct server_client *client, const struct control_request *request)
{
	if (request->route != ROUTE_UNDECIDED && !program->options.backends[request->route].count)
		answer_error(client, "no such route");
	else if (!server_follow(&program->servers, client,
				TRACE_FOLLOWS | (request->json ? TRACE_JSON : 0U) | (uint32_t)request->route))
		text_add(server_answer(client), "error: too many traces are running; the limit is %d\n",
			 SERVER_FOLLOWERS);
	else
		answer_ok(client);
}

static void control_request(struct server *server, struct server_client *client, char *line)
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
		wait_for_snapshot(program, client, SNAPSHOT_COUNTERS);
		return;
	case CONTROL_SESSIONS:
		wait_for_snapshot(program, client, SNAPSHOT_SESSIONS);
		return;
	case CONTROL_READY:
		answer_ready(program, client);
		return;
	case CONTROL_TRACE:
		answer_trace(program, client, &request);
		return;
	case CONTROL_RELOAD:
		server_wait(client, SUBJECT_RELOAD, reload_ask(&program->reload));
		return;
	case CONTROL_DETACH:
		answer_detach(program, client, request.now);
		return;
	case CONTROL_COMMANDS:
		return;
	}
}

static void control_refuse(struct server *server, struct server_client *client)
{
	(void)server;
	answer_error(client, "request too long");
}

static bool control_admit(struct server *server, struct server_client *client, int fd)
{
	struct program *program = server->context;

	if (control_admits(&program->control, fd))
		return true;
	answer_error(client,
		     program->control.has_group
			     ? "only root, alpnbpf's own user and members of --control-group may use the control socket"
			     : "only root and alpnbpf's own user may use the control socket; see --control-group");
	return false;
}

/* Parses the request again, now that its snapshot is complete. */
static void control_snapshot(struct program *program, struct server_client *client, const struct snapshot *snapshot)
{
	struct control_request request;
	struct sentence why;

	if (!control_request_parse(&request, client->request, &why))
		answer_error(client, why.text);
	else if (request.command == CONTROL_SESSIONS)
		answer_sessions(client, snapshot, request.json);
	else
		answer_status(program, client, snapshot, request.json);
}

struct server requests_control_server(struct program *program)
{
	return (struct server){.what = "the control socket",
			       .terminator = "\n",
			       .admit = control_admit,
			       .answer = control_request,
			       .refuse = control_refuse,
			       .context = program,
			       .fd = NO_DESCRIPTOR};
}

/* --- metrics --- */

static void metrics_request(struct server *server, struct server_client *client, char *request)
{
	enum http_status status;
	bool head;

	status = http_request_parse(request, &head);
	if (status == HTTP_OK)
		wait_for_snapshot(server->context, client, SNAPSHOT_COUNTERS);
	else
		http_refuse(server_answer(client), status);
}

static void metrics_refuse(struct server *server, struct server_client *client)
{
	(void)server;
	http_refuse(server_answer(client), HTTP_TOO_LARGE);
}

static void metrics_snapshot(struct program *program, struct server_client *client, const struct snapshot *snapshot)
{
	struct text body = {0};
	bool head = false;

	http_request_parse(client->request, &head);
	if (snapshot->failed) /* an incomplete sum would make counters go backwards */
		http_refuse(server_answer(client), HTTP_UNAVAILABLE);
	else
		metrics_write(&body, program, snapshot);
	if (body.failed)
		http_refuse(server_answer(client), HTTP_UNAVAILABLE);
	else if (!snapshot->failed)
		http_answer(server_answer(client), &body, head);
	text_free(&body);
}

struct server requests_metrics_server(struct program *program)
{
	return (struct server){.what = "the metrics server",
			       .terminator = "\r\n\r\n",
			       .answer = metrics_request,
			       .refuse = metrics_refuse,
			       .context = program,
			       .fd = NO_DESCRIPTOR};
}

/* --- answers that are ready --- */

static void round_ends(struct program *program)
{
	struct snapshot_round *round = &program->round;
	struct server_client *client;
	struct snapshot snapshot;

	snapshot_add_up(&snapshot, &program->engine, round->asked);
	program_add_counters(program, &snapshot.counters);
	while ((client = servers_waiting(&program->servers, SUBJECT_SNAPSHOT, round->turn))) {
		if (client->server == &program->metrics_server)
			metrics_snapshot(program, client, &snapshot);
		else
			control_snapshot(program, client, &snapshot);
		server_reply(&program->servers, client);
	}
	snapshot_free(&snapshot);
	round->asked = SNAPSHOT_NONE;
}

static void round_begins(struct program *program)
{
	struct snapshot_round *round = &program->round;

	round->turn++;
	round->asked = round->next;
	round->next = SNAPSHOT_NONE;
	round->until = monotonic_us() + SNAPSHOT_MS * US_PER_MS;
	snapshot_ask(&program->engine, round->asked);
}

static void run_rounds(struct program *program)
{
	struct snapshot_round *round = &program->round;

	do {
		if (round->asked != SNAPSHOT_NONE &&
		    (snapshot_is_complete(&program->engine) || monotonic_us() >= round->until))
			round_ends(program);
		if (round->asked == SNAPSHOT_NONE && round->next != SNAPSHOT_NONE)
			round_begins(program);
	} while (round->asked != SNAPSHOT_NONE && snapshot_is_complete(&program->engine));
}

void requests_run(struct program *program)
{
	struct server_client *client;

	run_rounds(program);
	while (reload_step(program))
		while ((client = servers_waiting(&program->servers, SUBJECT_RELOAD, program->reload.turn))) {
			answer_reload(program, client);
			server_reply(&program->servers, client);
		}
}

uint64_t requests_next(const struct program *program)
{
	uint64_t next = reload_next(&program->reload);

	if (program->round.asked != SNAPSHOT_NONE && program->round.until < next)
		next = program->round.until;
	return next;
}
