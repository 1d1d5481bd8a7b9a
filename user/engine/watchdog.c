// SPDX-License-Identifier: BSD-2-Clause
/*
 * Watchdog notifications: at half the interval, wakes every worker, and notifies the service manager once every loop
 * has turned. A worker that waits for events is healthy; one that does not turn after it was woken is not. Main thread.
 */
#include "engine/watchdog.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "base/timer.h"
#include "engine/engine.h"
#include "engine/worker.h"
#include "system/notify.h"

#define LOOKS_AGAIN 16 /* checks per interval while a worker has not answered */

void watchdog_open(struct watchdog *watchdog, unsigned int workers)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t interval = text_number(getenv("WATCHDOG_USEC"));

	*watchdog = (struct watchdog){.next = UINT64_MAX};
	if (interval < LOOKS_AGAIN || (pid && text_number(pid) != (uint64_t)getpid()))
		return;
	watchdog->seen = calloc(workers, sizeof(*watchdog->seen));
	if (!watchdog->seen) {
		log_warn("out of memory for the watchdog; the service manager will restart alpnbpf");
		return;
	}
	watchdog->interval = interval;
	watchdog->next = 0;
}

static bool all_answered(const struct watchdog *watchdog, const struct engine *engine)
{
	for (unsigned int i = 0; i < engine->running; i++) {
		uint64_t loops = worker_loops(&engine->workers[i]);

		if (loops == watchdog->seen[i] && loops != WORKER_ENDED)
			return false;
	}
	return true;
}

void watchdog_look(struct watchdog *watchdog, struct engine *engine)
{
	uint64_t now = monotonic_us();

	if (now < watchdog->next)
		return;
	if (watchdog->asked && !all_answered(watchdog, engine)) {
		watchdog->next = now + watchdog->interval / LOOKS_AGAIN;
		return;
	}
	if (watchdog->asked)
		notify_service_manager("WATCHDOG=1");
	watchdog->asked = true;
	for (unsigned int i = 0; i < engine->running; i++) {
		watchdog->seen[i] = worker_loops(&engine->workers[i]);
		worker_wake(&engine->workers[i]);
	}
	watchdog->next = now + watchdog->interval / 2;
}

void watchdog_close(struct watchdog *watchdog)
{
	free(watchdog->seen);
}
