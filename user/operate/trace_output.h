/* SPDX-License-Identifier: BSD-2-Clause */
/* `alpnbpf trace`: one line per session, when its route is decided, for the clients that follow. Main thread. */
#ifndef ALPNBPF_OPERATE_TRACE_OUTPUT_H
#define ALPNBPF_OPERATE_TRACE_OUTPUT_H

#include <stdbool.h>

#include "engine/trace.h"
#include "operate/server.h"

/* What a follower asked for, in struct server_client.subject. */
#define TRACE_FOLLOWS    0x100U
#define TRACE_JSON       0x200U
#define TRACE_ROUTE_MASK 0xffU /* enum route; 0: all */

/*
 * After servers_run(): queues new records for the followers, and tells the workers whether there are any followers.
 * True: servers_run() has lines to send.
 */
bool trace_output_run(struct trace *trace, struct servers *servers);

#endif
