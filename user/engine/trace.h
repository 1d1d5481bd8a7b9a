/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source of `alpnbpf trace`: a record for every hello, with what became of it. While nobody follows it costs a look
 * at a flag. Workers send records through a socket; operate/trace_output.c reads them on the main thread.
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

struct session;

struct trace {
	_Atomic bool wanted;           /* written by the main thread */
	_Atomic unsigned long dropped; /* records that found no room: workers add, the main thread takes */
	int to, from;                  /* a pair of sockets: workers send, the main thread receives */
};

/* What is said of a session, once it is connected or has ended. */
struct trace_record {
	struct timespec time; /* of the decision, CLOCK_REALTIME */
	uint64_t took;        /* us, from accept() to the outcome */
	struct address client, backend;
	enum route asked, route; /* by the hello; who has it in the end */
	enum session_cause cause;
	bool connected, has_hello;
	struct hello hello;
};

/* 0 or -errno. Before workers start, and after they have ended. */
int trace_open(struct trace *trace);
void trace_close(struct trace *trace);

/* The route of the session is decided, and peek_hello() can still tell why. On its worker's thread. */
void trace_decided(struct session *session);
/* It is connected, or has ended: sends the record if there is one, or is due; and frees it. On its worker's thread. */
void trace_settled(struct session *session);

/* The next record that has come. False: there is none. Main thread. */
bool trace_receive(struct trace *trace, struct trace_record *record);

#endif
