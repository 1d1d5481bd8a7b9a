// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records for `alpnbpf trace`: workers make and send them, each for its own sessions; the main thread receives them.
 * They share only the socket, `wanted` and `dropped`.
 */
#include "engine/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/descriptor.h"
#include "engine/connect.h"
#include "engine/peek.h"
#include "engine/worker.h"

int trace_open(struct trace *trace)
{
	int pair[2];

	trace->to = trace->from = NO_DESCRIPTOR;
	/* A unix socket does not lose datagrams: without room, send() fails. */
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	trace->to = pair[0];
	trace->from = pair[1];
	return 0;
}

void trace_close(struct trace *trace)
{
	descriptor_close(&trace->to);
	descriptor_close(&trace->from);
}

/* --- the worker's side --- */

static struct trace *trace_of(const struct session *session)
{
	return &session->worker->engine->trace;
}

static void trace_begin(struct session *session)
{
	struct trace_record *record = calloc(1, sizeof(*record));

	if (!record)
		return;
	clock_gettime(CLOCK_REALTIME, &record->time);
	record->client = session->client;
	record->asked = session->route;
	session->trace = record;
}

void trace_decided(struct session *session)
{
	if (!atomic_load_explicit(&trace_of(session)->wanted, memory_order_relaxed))
		return;
	trace_begin(session);
	if (session->trace)
		session->trace->has_hello = peek_hello(session, &session->trace->hello);
}

void trace_settled(struct session *session)
{
	struct trace *trace = trace_of(session);
	struct trace_record *record;

	/* A session that ended before its route was decided has no record yet. */
	if (!session->trace && session->state == SESSION_CLOSING && session->route == ROUTE_UNDECIDED &&
	    atomic_load_explicit(&trace->wanted, memory_order_relaxed))
		trace_begin(session);
	record = session->trace;
	if (!record)
		return;
	session->trace = NULL;
	record->took = session->worker->now - session->started;
	record->route = session->route;
	record->connected = session->state == SESSION_OPEN;
	record->cause = session->cause;
	if (record->connected)
		record->backend = connect_address(session);
	if (send(trace->to, record, sizeof(*record), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		atomic_fetch_add(&trace->dropped, 1);
	free(record);
}

/* --- the main thread's side --- */

bool trace_receive(struct trace *trace, struct trace_record *record)
{
	return recv(trace->from, record, sizeof(*record), MSG_DONTWAIT) == sizeof(*record);
}
