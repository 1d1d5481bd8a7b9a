// SPDX-License-Identifier: BSD-2-Clause
/* The phases of the end: see ending.h. Owns program->phase from PROGRAM_RUNNING on, and the deadlines. Main thread. */
#include "attach/ending.h"

#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "engine/worker.h"
#include "system/notify.h"

#define SETTLE_LOOK_MS 5 /* no event tells when the last steered connection has arrived */

/* A snapshot: the workers keep running. */
static unsigned int live_sessions(const struct engine *engine)
{
	unsigned int live = 0;

	for (unsigned int i = 0; i < engine->running; i++)
		live += worker_live(&engine->workers[i]);
	return live;
}

static unsigned int workers_left(const struct engine *engine)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < engine->running; i++)
		left += worker_loops(&engine->workers[i]) != WORKER_ENDED;
	return left;
}

static void end_at_once(struct attach *attach, const char *why)
{
	struct program *program = &attach->program;

	if (program->phase >= PROGRAM_ENDING)
		return;
	log_info("shutting down now: %s", why);
	if (program->phase < PROGRAM_SETTLING)
		notify_service_manager("STOPPING=1");
	program->phase = PROGRAM_ENDING;
	steer_stop(&program->engine.steer);
	engine_tell(&program->engine, WORKER_STOP);
}

static void begin_draining(struct attach *attach)
{
	struct program *program = &attach->program;
	unsigned int drain_ms = program->options.drain_timeout_ms;
	uint64_t now = monotonic_us();

	steer_stop(&program->engine.steer); /* before the log line, which claims it */
	log_info("draining: accepting no new connections; sessions have %u ms to end", drain_ms);
	notify_service_manager("STOPPING=1");
	notify_status("draining: %u sessions have %u ms to end", live_sessions(&program->engine), drain_ms);
	program->phase = PROGRAM_SETTLING;
	attach->drain_until = now + drain_ms * US_PER_MS;
	attach->settle_until = now + program->options.hello_timeout_ms * US_PER_MS;
	attach->settle_look = now + SETTLE_LOOK_MS * US_PER_MS;
}

void ending_begin(struct attach *attach, bool at_once, const char *why)
{
	if (at_once || attach->program.options.drain_timeout_ms == 0)
		end_at_once(attach, why);
	else if (attach->program.phase < PROGRAM_SETTLING)
		begin_draining(attach);
}

/*
 * New connections now go to the web server. Closing our listeners would reset those that were steered to us earlier and
 * wait for the end of the handshake or the first byte: keep the listeners until none is left.
 */
static void settle_down(struct attach *attach)
{
	struct program *program = &attach->program;
	uint64_t now = monotonic_us();

	if (now < attach->settle_look)
		return;
	attach->settle_look = now + SETTLE_LOOK_MS * US_PER_MS;
	if (steer_pending(&program->engine.steer) && now < attach->settle_until)
		return;
	program->phase = PROGRAM_DRAINING;
	engine_tell(&program->engine, WORKER_DRAIN);
}

/* All sessions have ended: end the command too. */
static void end_command(struct attach *attach)
{
	attach->program.phase = PROGRAM_COMMAND;
	if (!child_runs(&attach->child))
		return;
	log_info("sending SIGTERM to %s", attach->program.options.command[0]);
	child_signal(&attach->child, SIGTERM);
}

void ending_step(struct attach *attach)
{
	struct program *program = &attach->program;
	unsigned int left = workers_left(&program->engine);

	/*
	 * A worker that fails has logged why. Its listeners would still get their share of the connections: end the
	 * program, and the service manager restarts it.
	 */
	if (program->phase <= PROGRAM_RUNNING && left < program->engine.worker_count) {
		attach->failed = true;
		end_at_once(attach, "a worker failed");
	}
	if (program->phase == PROGRAM_SETTLING)
		settle_down(attach);
	if ((program->phase == PROGRAM_SETTLING || program->phase == PROGRAM_DRAINING) &&
	    monotonic_us() >= attach->drain_until)
		end_at_once(attach, "--drain-timeout has expired");
	if (!left && program->phase < PROGRAM_COMMAND)
		end_command(attach);
}

uint64_t ending_next(const struct attach *attach)
{
	if (attach->program.phase == PROGRAM_SETTLING)
		return attach->settle_look;
	return attach->program.phase == PROGRAM_DRAINING ? attach->drain_until : UINT64_MAX;
}

bool ending_is_over(const struct attach *attach)
{
	return attach->program.phase == PROGRAM_COMMAND && !child_runs(&attach->child);
}
