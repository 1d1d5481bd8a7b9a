// SPDX-License-Identifier: BSD-2-Clause
/* The phases of the end; see ending.h. Owns program->phase once it is PROGRAM_RUNNING, and their deadlines. */
#include "attach/ending.h"

#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "engine/worker.h"
#include "system/notify.h"

#define SETTLE_LOOK_MS 5 /* nothing tells when the last of them is here; nor that the last packet was steered */

/* A snapshot: their workers count on. */
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
	log_info("ending now: %s", why);
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

	steer_stop(&program->engine.steer); /* first: what is said next has to be true by then */
	log_info("draining: no new connections, %u ms for those there are", drain_ms);
	notify_service_manager("STOPPING=1");
	notify_status("draining: %u sessions when it began, %u ms for them to end", live_sessions(&program->engine),
		      drain_ms);
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
 * New connections are the web server's by now. Those that were steered to us before, and whose handshake or first byte
 * is still to come, would be reset with our listeners: they are closed when there is none left.
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

/* Our sessions have ended: now the command may. */
static void end_command(struct attach *attach)
{
	attach->program.phase = PROGRAM_COMMAND;
	if (!child_runs(&attach->child))
		return;
	log_info("telling %s to end", attach->program.options.command[0]);
	child_signal(&attach->child, SIGTERM);
}

void ending_step(struct attach *attach)
{
	struct program *program = &attach->program;
	unsigned int left = workers_left(&program->engine);

	/* A worker that ends unasked has said why. Its listeners would still get their share of the connections: it
	 * takes the program with it, and the service manager restarts that. */
	if (program->phase <= PROGRAM_RUNNING && left < program->engine.worker_count) {
		attach->failed = true;
		end_at_once(attach, "a worker failed");
	}
	if (program->phase == PROGRAM_SETTLING)
		settle_down(attach);
	if ((program->phase == PROGRAM_SETTLING || program->phase == PROGRAM_DRAINING) &&
	    monotonic_us() >= attach->drain_until)
		end_at_once(attach, "--drain-timeout is over");
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
