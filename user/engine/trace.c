// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records for `alpnbpf trace`: workers make and send them, each for its own sessions; the main thread receives them.
 * They share only the socket, `trace_wanted` and `trace_dropped`. A record comes from a worker, which reads bytes of
 * the network: it is checked before it is used.
 */
#include "engine/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/descriptor.h"
#include "engine/connect.h"
#include "engine/peek.h"
#include "engine/shared.h"
#include "engine/worker.h"

int trace_open(struct trace *trace)
{
	int pair[2];

	*trace = (struct trace){.to = NO_DESCRIPTOR, .from = NO_DESCRIPTOR};
	/* A unix socket does not lose datagrams: without room, send() fails. */
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	trace->to = pair[0];
	trace->from = pair[1];
	descriptor_refuse_passed(trace->from);
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

static bool is_wanted(const struct session *session)
{
	return atomic_load_explicit(&trace_of(session)->shared->trace_wanted, memory_order_relaxed);
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
	if (!is_wanted(session))
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
	    is_wanted(session))
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
		atomic_fetch_add(&trace->shared->trace_dropped, 1);
	free(record);
}

/* --- the main thread's side --- */

#define LAST_SECOND 253402300799 /* of the year 9999 */

bool trace_record_is_sound(const struct trace_record *record)
{
	const struct hello *hello = &record->hello;

	return record->time.tv_sec >= 0 && record->time.tv_sec <= LAST_SECOND && record->time.tv_nsec >= 0 &&
	       record->time.tv_nsec < 1000000000 && address_is_sound(&record->client) &&
	       (!record->backend.len || address_is_sound(&record->backend)) && (unsigned int)record->asked < ROUTES &&
	       (unsigned int)record->route < ROUTES && (unsigned int)record->cause < CAUSES &&
	       (unsigned int)hello->result < CLIENTHELLO_RESULTS && hello->alpn_length <= HELLO_ALPN_MAX &&
	       hello_is_name(hello->server_name, sizeof(hello->server_name));
}

void trace_want(struct trace *trace, bool wanted)
{
	atomic_store(&trace->shared->trace_wanted, wanted);
}

bool trace_receive(struct trace *trace, struct trace_record *record)
{
	ssize_t length;

	while ((length = recv(trace->from, record, sizeof(*record), MSG_DONTWAIT)) >= 0) {
		if (length == sizeof(*record) && trace_record_is_sound(record))
			return true;
		shared_is_unsound("a record of a session");
	}
	return false;
}

unsigned long trace_dropped(struct trace *trace)
{
	return atomic_exchange(&trace->shared->trace_dropped, 0);
}
