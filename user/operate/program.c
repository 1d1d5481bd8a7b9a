// SPDX-License-Identifier: BSD-2-Clause
/* What is asked of the whole program by more than one of those who operate it. Main thread. */
#include "operate/program.h"

#include "steering/watch.h"

void program_add_counters(const struct program *program, struct counters *counters)
{
	const struct steer_state *state = program->engine.steer.state;

	if (state) {
		counters->steered = __atomic_load_n(&state->steered, __ATOMIC_RELAXED);
		counters->untakable = hello_watch_untakable(&program->engine.steer);
	}
	counters->reloads = program->reloads[true];
	counters->reloads_failed = program->reloads[false];
}
