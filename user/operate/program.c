// SPDX-License-Identifier: BSD-2-Clause
/* The initial state of the program, and its own counters. Owns nothing. Main thread. */
#include "operate/program.h"

#include "base/descriptor.h"
#include "base/log.h"

void program_init(struct program *program, int argc, char **argv)
{
	program->argc = argc;
	program->argv = argv;
	program->started = monotonic_us();
	program->servers.epoll = NO_DESCRIPTOR;
	program->control.fd = program->control.lock = NO_DESCRIPTOR;
	program->control_server.fd = program->metrics_server.fd = NO_DESCRIPTOR;
}

void program_add_counters(const struct program *program, struct counters *counters)
{
	const struct steer_state *state = program->engine.steer.maps.state;

	if (state) {
		counters->steered = __atomic_load_n(&state->steered, __ATOMIC_RELAXED);
		counters->held = __atomic_load_n(&state->held, __ATOMIC_RELAXED);
		counters->released = __atomic_load_n(&state->released, __ATOMIC_RELAXED);
		counters->strangers = __atomic_load_n(&state->strangers, __ATOMIC_RELAXED);
		for (int why = 0; why < STEER_UNTAKABLES; why++)
			counters->untakable[why] = __atomic_load_n(&state->untakable[why], __ATOMIC_RELAXED);
		for (int why = 0; why < STEER_LATES; why++)
			counters->late[why] = __atomic_load_n(&state->late[why], __ATOMIC_RELAXED);
	}
	counters->log_lines_lost = log_lines_lost();
	counters->log_lines_suppressed = log_lines_suppressed();
	counters->reloads = program->reload.done_count;
	counters->reloads_failed = program->reload.failed_count;
}
