/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source of `alpnbpf trace`: a record per session, with its hello and the outcome. Without followers it costs a
 * look at a flag. Workers send records through a socket; operate/trace_output.c reads them on the main thread.
 */
#ifndef ALPNBPF_ENGINE_TRACE_H
#define ALPNBPF_ENGINE_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "alpnbpf.h"
#include "base/address.h"
#include "engine/outcome.h"
#include "hello/describe.h"

struct engine_shared;
struct session;

struct trace {
	struct engine_shared *shared; /* `trace_wanted` and `trace_dropped`. Not owned */
	int to, from;                 /* a pair of sockets: workers send, the main thread receives */
};

/* What a follower learns of a session, once it is connected or has ended. */
struct trace_record {
	struct timespec time; /* of the routing decision, CLOCK_REALTIME */
	uint64_t took;        /* us, from accept() to the outcome */
	struct address client, backend;
	enum route asked, route; /* the route that the hello asked for; the route it took */
	enum session_cause cause;
	uint8_t connected, has_hello;
	struct hello hello;
};

/* 0 or -errno. Both only while no worker runs. */
int trace_open(struct trace *trace);
void trace_close(struct trace *trace);

/* Call it when the route is decided, while peek_hello() still has the hello. On the worker's thread. */
void trace_decided(struct session *session);
/* Call it when the session is connected or has ended: sends the record and frees it. On the worker's thread. */
void trace_settled(struct session *session);

/* Are there followers? Main thread. */
void trace_want(struct trace *trace, bool wanted);
/* Receives the next record that is sound. False if there is none. Main thread. */
bool trace_receive(struct trace *trace, struct trace_record *record);
/* How many records were dropped since the last call. Main thread. */
unsigned long trace_dropped(struct trace *trace);

/* Can its parts be used as what they say they are? */
bool trace_record_is_sound(const struct trace_record *record);

#endif
