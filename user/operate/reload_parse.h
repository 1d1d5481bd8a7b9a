/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses options on a thread of its own, because looking up names of backends can take long. The main thread starts it,
 * and reads and frees the result; in between, only the thread uses a struct parsing.
 */
#ifndef ALPNBPF_OPERATE_RELOAD_PARSE_H
#define ALPNBPF_OPERATE_RELOAD_PARSE_H

#include <pthread.h>

#include "options/options.h"

struct parsing {
	pthread_t thread;
	int over; /* eventfd, readable once the thread has finished; never read */
	int argc;
	char **argv; /* not owned; lives as long as the process */
	enum options_result result;
	struct options options;
	struct sentence why; /* unless the result is OPTIONS_OK */
};

/* NULL, and why, if the thread cannot start. */
struct parsing *parsing_start(int argc, char **argv, struct sentence *why);
/* Does not wait. True, once, if the thread has ended; then the caller owns the result. */
bool parsing_join(struct parsing *parsing);
/* Only after parsing_join() was true, or if the thread never started. */
void parsing_free(struct parsing *parsing);

#endif
