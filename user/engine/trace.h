/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `alpnbpf trace`: a line for every hello, with what became of it. While nobody follows it costs a look at a flag.
 * Workers send records through a socket; the main thread writes them out for the followers.
 */
#ifndef ALPNBPF_ENGINE_TRACE_H
#define ALPNBPF_ENGINE_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "operate/server.h"
#include "engine/session.h"

/* Shared by all threads. */
struct trace {
	_Atomic bool wanted;
	_Atomic unsigned long dropped; /* records that found no room */
	int to, from;                  /* a pair of sockets; -1: not open */
};

struct trace_record;

/* What a follower wants, in struct server_client.followed. */
#define TRACE_FOLLOWS    0x100U
#define TRACE_JSON       0x200U
#define TRACE_ROUTE_MASK 0xffU /* enum route; 0: all */

/* 0 or -errno. */
int trace_open(struct trace *trace);
void trace_close(struct trace *trace);

/* The route of the session is decided, and hello_peek() can still tell why. On its worker's thread. */
void trace_decided(struct session *session);
/* It is connected, or has ended: sends the record if there is one, or is due; and frees it. */
void trace_settled(struct session *session);

/*
 * Hands what has come to the followers, and notes whether there are any. True: servers_run() has something to send.
 * Main thread, after servers_run().
 */
bool trace_run(struct trace *trace, struct servers *servers);

#endif
