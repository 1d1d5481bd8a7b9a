/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses options on a thread of its own: names of backends are looked up, and a name server that does not answer takes
 * as long as it likes. The main thread starts it, and reads and frees what it has left; in between, a struct parsing is
 * the thread's.
 */
#ifndef ALPNBPF_OPERATE_RELOAD_PARSE_H
#define ALPNBPF_OPERATE_RELOAD_PARSE_H

#include <pthread.h>

#include "options/options.h"

struct parsing {
	pthread_t thread;
	int over; /* eventfd, readable once it is over; not read */
	int argc;
	char **argv; /* not owned; lives as long as the process */
	enum options_result result;
	struct options options;
	struct sentence why; /* unless the result is OPTIONS_OK */
};

/* NULL, with a sentence in why: it cannot be started. */
struct parsing *parsing_start(int argc, char **argv, struct sentence *why);
/* Does not wait. True once: the thread has ended, and what it has left is the caller's. */
bool parsing_join(struct parsing *parsing);
/* Only after that, or if it never started. */
void parsing_free(struct parsing *parsing);

#endif
