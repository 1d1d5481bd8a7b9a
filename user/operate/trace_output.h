/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `alpnbpf trace`: a line for every hello, with what became of it, for the clients that follow. Main thread.
 */
#ifndef ALPNBPF_OPERATE_TRACE_OUTPUT_H
#define ALPNBPF_OPERATE_TRACE_OUTPUT_H

#include <stdbool.h>

#include "engine/trace.h"
#include "operate/server.h"

/* What a follower wants, in struct server_client.subject. */
#define TRACE_FOLLOWS    0x100U
#define TRACE_JSON       0x200U
#define TRACE_ROUTE_MASK 0xffU /* enum route; 0: all */

/*
 * Hands what has come to the followers, and notes whether there are any. True: servers_run() has something to send.
 * After servers_run().
 */
bool trace_output_run(struct trace *trace, struct servers *servers);

#endif
