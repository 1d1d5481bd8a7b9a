// SPDX-License-Identifier: BSD-2-Clause
/* Parses options on another thread, and keeps the watchdog content meanwhile. One at a time. */
#include "operate/reload_parse.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/watchdog.h"

#define PARSE_PATIENCE_US (8000 * US_PER_MS) /* for names to be looked up; who asked for the reload waits 10 s */
#define PARSE_LOOK_US     (200 * US_PER_MS)

static _Atomic bool parses; /* one at a time */

void parsing_leave(struct parsing *parsing)
{
	if (atomic_fetch_sub(&parsing->owners, 1) == 1)
		free(parsing);
}

static void *parse(void *argument)
{
	struct parsing *parsing = argument;

	parsing->result = options_parse(&parsing->options, parsing->argc, parsing->argv, &parsing->why);
	atomic_store(&parses, false);
	parsing_leave(parsing);
	return NULL;
}

/* False: it takes too long; the thread goes on, and frees what it has. */
static bool wait_for(struct program *program, pthread_t thread)
{
	uint64_t until = monotonic_us() + PARSE_PATIENCE_US;

	while (monotonic_us() < until) {
		struct timespec look;

		clock_gettime(CLOCK_REALTIME, &look);
		look.tv_nsec += (long)PARSE_LOOK_US * 1000;
		look.tv_sec += look.tv_nsec / 1000000000;
		look.tv_nsec %= 1000000000;
		if (pthread_timedjoin_np(thread, NULL, &look) == 0)
			return true;
		watchdog_look(&program->watchdog, &program->engine);
	}
	pthread_detach(thread);
	return false;
}

struct parsing *parsing_start(struct program *program, char *why, size_t size)
{
	struct parsing *parsing;
	pthread_t thread;
	int error;

	if (atomic_exchange(&parses, true)) {
		snprintf(why, size, "the names of an earlier reload are still being looked up");
		return NULL;
	}
	parsing = calloc(1, sizeof(*parsing));
	if (!parsing) {
		atomic_store(&parses, false);
		snprintf(why, size, "there is no memory for it");
		return NULL;
	}
	parsing->argc = program->argc;
	parsing->argv = program->argv;
	atomic_store(&parsing->owners, 2);
	error = pthread_create(&thread, NULL, parse, parsing);
	if (error) {
		atomic_store(&parses, false);
		free(parsing);
		snprintf(why, size, "a thread for it cannot be started: %s", strerror(error));
		return NULL;
	}
	if (!wait_for(program, thread))
		snprintf(why, size,
			 "the names of backends could not be looked up within %llu s; use addresses, or try again",
			 PARSE_PATIENCE_US / 1000 / US_PER_MS);
	else if (parsing->result != OPTIONS_OK)
		snprintf(why, size, "%s", parsing->why.text);
	else
		return parsing;
	parsing_leave(parsing);
	return NULL;
}
