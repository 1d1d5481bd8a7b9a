/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * On a thread of its own: names of backends are looked up, and a name server that does not answer takes as long as it
 * likes, while signs of life are expected of the main thread.
 */
#ifndef ALPNBPF_OPERATE_RELOAD_PARSE_H
#define ALPNBPF_OPERATE_RELOAD_PARSE_H

#include <stdatomic.h>

#include "operate/program.h"
#include "options/options.h"

struct parsing {
	struct options options;
	int argc;
	char **argv;
	enum options_result result;
	struct sentence why;
	_Atomic int owners; /* the thread, and who waits for it: the last one frees it */
};

/* The new options, to be left by parsing_leave(); NULL with a sentence in why. Waits for some seconds at most. */
struct parsing *parsing_start(struct program *program, char *why, size_t size);
void parsing_leave(struct parsing *parsing);

#endif
