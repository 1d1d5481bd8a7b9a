// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf attach` from beginning to end: sets up, starts the command and the workers, reports that it is ready, runs
 * the loop, tears everything down. Main thread.
 */
#include "attach/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/loop.h"
#include "attach/ending.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "engine/worker.h"
#include "operate/counter_output.h"
#include "operate/operate.h"
#include "options/command_line.h"
#include "steering/endpoint.h"
#include "steering/mode.h"
#include "system/bpf.h"
#include "system/notify.h"

static void announce(const struct program *program)
{
	const struct options *options = &program->options;
	const struct worker *worker = &program->engine.workers[0];
	char listeners[512], name[ADDRESS_TEXT_MAX], routes[512], mode[STEER_MODE_MAX];
	size_t length = 0;

	for (unsigned int i = 0; i < worker->accepting.count && length < sizeof(listeners); i++)
		if (!worker->accepting.listeners[i].in_place)
			length += (size_t)snprintf(
				listeners + length, sizeof(listeners) - length, "%s%s", length ? ", " : "listening on ",
				address_format(&worker->accepting.listeners[i].address, name, sizeof(name)));
	for (unsigned int i = 0; i < options->listener_count && length < sizeof(listeners); i++)
		if (options->in_place[i] && program->engine.private_ports[steer_family_of(&options->listeners[i])])
			length += (size_t)snprintf(listeners + length, sizeof(listeners) - length, "%sat %s",
						   length ? ", " : "",
						   address_format(&options->listeners[i], name, sizeof(name)));
	steer_mode(&program->engine.steer, mode, sizeof(mode));
	log_info("ready: %s; acme -> %s, https -> %s%s; %s; data plane %s; %u workers, %u sessions at most", listeners,
		 options->backends[ROUTE_ACME].text, options->backends[ROUTE_HTTPS].text,
		 options_list_rules(options, routes, sizeof(routes)), mode, program->dataplane_text,
		 program->engine.worker_count, program->engine.max_sessions);
	notify_service_manager("READY=1");
	notify_status("serving: %s; data plane %s", mode, program->dataplane_text);
}

/* Logs the counters of the whole run, as key=value. */
static void log_totals(struct program *program)
{
	struct text totals = {0};
	struct snapshot snapshot;
	char *next = NULL;

	snapshot_add_up(&snapshot, &program->engine, SNAPSHOT_COUNTERS);
	program_add_counters(program, &snapshot.counters);
	counters_write_totals(&totals, &snapshot.counters);
	for (char *line = totals.failed ? NULL : strtok_r(totals.bytes, "\n", &next); line;
	     line = strtok_r(NULL, "\n", &next))
		log_info("totals: %s", line);
	text_free(&totals);
}

/* 0, or the exit code of a shell that cannot start a command. */
static int start_command(struct attach *attach)
{
	struct sentence why;
	int error;

	if (!attach->program.options.command)
		return 0;
	error = child_start(&attach->child, attach->program.options.command, &attach->nofile, &why);
	if (!error)
		return 0;
	log_error("%s", why.text);
	return error == -ENOENT ? 127 : 126;
}

static void tear_down(struct attach *attach, bool started)
{
	struct program *program = &attach->program;

	steer_stop(&program->engine.steer);
	engine_tell(&program->engine, WORKER_STOP);
	workers_process_join(&program->engine);
	log_wait_for_reader(true); /* nobody is served any more */
	watchdog_close(&attach->watchdog);
	if (started)
		log_totals(program);
	attach_tear_down(attach);
	loop_close(attach);
	notify_close();
	operate_close(program); /* last: a detach that waits sees the connection close */
}

int attach_main(int argc, char **argv)
{
	static struct attach attach;
	struct program *program = &attach.program;
	int code;

	attach.signals = NO_DESCRIPTOR;
	if (!command_line_parse(&program->options, argc, argv, &code))
		return code;
	log_init(program->options.log_level, program->options.log_format);
	bpf_log_to_ours();
	program_init(program, argc, argv);
	if (loop_open(&attach))
		return EXIT_FAILED;
	if (attach_set_up(&attach)) {
		tear_down(&attach, false);
		return EXIT_FAILED;
	}
	code = start_command(&attach);
	if (code) {
		tear_down(&attach, true);
		return code;
	}
	attach.failed = attach_start(&attach) != 0;
	if (attach.failed) {
		ending_begin(&attach, true, "start-up failed");
	} else {
		program->phase = PROGRAM_RUNNING;
		announce(program);
	}
	loop_run(&attach);
	tear_down(&attach, true);
	return attach.failed || program->engine.process.has_failed ? EXIT_FAILED
	       : attach.child.pid                                  ? attach.child.code
								   : EXIT_DONE;
}
