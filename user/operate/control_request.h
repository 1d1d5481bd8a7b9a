/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses a request to the control socket: a line with a command and its words. No state, no I/O, any thread. */
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
	enum route route; /* trace: only this one; ROUTE_UNDECIDED: all */
};

/* `line` has no newline. On false, why says what is wrong. */
bool control_request_parse(struct control_request *request, const char *line, struct sentence *why);

/* "status" and so on. */
const char *control_command_name(enum control_command command);

#endif
