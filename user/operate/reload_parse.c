// SPDX-License-Identifier: BSD-2-Clause
/* The thread that parses options: see reload_parse.h for who owns what. */
#include "operate/reload_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"

static void *parsing_run(void *argument)
{
	struct parsing *parsing = argument;
	uint64_t one = 1;

	pthread_setname_np(pthread_self(), "reload");
	parsing->result = options_parse(&parsing->options, parsing->argc, parsing->argv, &parsing->why);
	if (write(parsing->over, &one, sizeof(one)) < 0) /* the main thread also looks at its deadline */
		log_warn("reload: cannot wake the main thread: %s; it continues at its deadline", strerror(errno));
	return NULL;
}

struct parsing *parsing_start(int argc, char **argv, struct sentence *why)
{
	struct parsing *parsing = calloc(1, sizeof(*parsing));
	int error;

	if (!parsing) {
		sentence_set(why, "out of memory for the options");
		return NULL;
	}
	parsing->argc = argc;
	parsing->argv = argv;
	parsing->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = parsing->over < 0 ? errno : pthread_create(&parsing->thread, NULL, parsing_run, parsing);
	if (!error)
		return parsing;
	sentence_set(why, "cannot start a thread to read the options: %s", strerror(error));
	parsing_free(parsing);
	return NULL;
}

bool parsing_join(struct parsing *parsing)
{
	return pthread_tryjoin_np(parsing->thread, NULL) == 0;
}

void parsing_free(struct parsing *parsing)
{
	descriptor_close(&parsing->over);
	free(parsing);
}
