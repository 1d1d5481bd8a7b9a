/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which log lines about a client are written: those that any client can cause, limited by its network (an IPv4 /24, an
 * IPv6 /48) and over all. One network that causes many hides no other's. Any thread.
 */
#ifndef ALPNBPF_ENGINE_SOURCE_LINES_H
#define ALPNBPF_ENGINE_SOURCE_LINES_H

#include <stdbool.h>

#include "base/address.h"

enum source_line {
	SOURCE_LINE_VALIDATION, /* the outcome of a validation */
	SOURCE_LINE_TROUBLE,    /* a warning about a connection */
	SOURCE_LINES
};

/*
 * May a line of this kind about the client be written now? `left_out` is how many of the kind were not since the last
 * one that was.
 */
bool source_lines_pass(enum source_line kind, const struct address *client, unsigned long *left_out);

#endif
