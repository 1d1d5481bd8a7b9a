/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a request to the control socket asks for: a line with a command and its words. A parser, and no more: no state,
 * no I/O, any thread.
 */
#ifndef ALPNBPF_OPERATE_CONTROL_REQUEST_H
#define ALPNBPF_OPERATE_CONTROL_REQUEST_H

#include <stdbool.h>

#include "alpnbpf.h"
#include "base/sentence.h"

enum control_command {
	CONTROL_STATUS,
	CONTROL_SESSIONS,
	CONTROL_READY,
	CONTROL_TRACE,
	CONTROL_RELOAD,
	CONTROL_DETACH,
	CONTROL_COMMANDS
};

struct control_request {
	enum control_command command;
	bool json;        /* status, sessions, trace: else text */
	bool now;         /* detach */
	enum route route; /* trace: of this one alone; ROUTE_UNDECIDED: of all */
};

/* `line` is without its newline. False leaves a sentence in why. */
bool control_request_parse(struct control_request *request, const char *line, struct sentence *why);

/* "status" ... */
const char *control_command_name(enum control_command command);

#endif
