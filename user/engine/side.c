// SPDX-License-Identifier: BSD-2-Clause
/*
 * One of the two sockets of a session: what it waits for, what has happened to it, how it is closed. Runs on the thread
 * of the session's worker; the verdict may run at any moment.
 */
#include "engine/side.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "engine/flow.h"
#include "engine/worker.h"

uint32_t side_events(const struct session *session, enum side side)
{
	const struct end *end = &session->ends[side];
	uint32_t events = EPOLLRDHUP | EPOLLET;

	/* In the map, EPOLLIN would wake us for each redirected batch (docs/KERNEL.md 6): the event ring tells
	 * instead.
	 */
	if (!end->in_map)
		events |= EPOLLIN | EPOLLPRI;
	if (end->watches_out)
		events |= EPOLLOUT;
	return events;
}

/* The send buffer is full: wait for EPOLLOUT. Once asked for it stays in the mask, an edge costs nothing otherwise. */
bool side_wait_for_room(struct session *session, enum side side)
{
	struct end *end = &session->ends[side];

	end->blocked = true;
	if (end->watches_out)
		return true;
	end->watches_out = true;
	if (worker_watch(session, side, side_events(session, side), true) == 0)
		return true;
	session_end(session, CAUSE_LOCAL_ERROR, true);
	return false;
}

/* --- what happened to it --- */

bool side_is_reset(int error)
{
	return error == -ECONNRESET || error == -EPIPE || error == -ETIMEDOUT || error == -ECONNABORTED ||
	       error == -ENOTCONN || error == -EHOSTUNREACH || error == -ENETUNREACH || error == -ECONNREFUSED;
}

/*
 * The connection of a side is gone. What came from it before may still be in the kernel or in the other side's send
 * queue, where a reset would cut it off though the peer had sent it in order: an answer to an upload that was refused,
 * closed with the rest unread. So the other side is reset only once it has all of that, or stalls.
 */
static void lose_side(struct session *session, enum side side)
{
	struct end *end = &session->ends[side];

	if (session->state != SESSION_OPEN) {
		session_reset(session, side);
	} else if (session->ends[!side].broken) {
		session_reset(session, !side);
	} else {
		end->broken = end->readable = true;
		worker_mark(session);
	}
}

bool side_fail(struct session *session, enum side side, int error)
{
	log_debug("session %llu: the %s failed: %s", (unsigned long long)session->number,
		  side == CLIENT ? "client" : "backend", strerror(-error));
	if (side_is_reset(error))
		lose_side(session, side);
	else
		session_end(session, CAUSE_LOCAL_ERROR, true);
	return false;
}

/* Has the connection ended at a reset or a timeout of its TCP? */
static bool is_gone(const struct end *end)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	return end->is_tcp && getsockopt(end->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
	       info.tcpi_state == BPF_TCP_CLOSE;
}

static bool check_fault(struct session *session, enum side side)
{
	static const enum session_cause causes[FLOW_FAULTS] = {
		[FLOW_FAULT_GAP] = CAUSE_GAP, [FLOW_FAULT_TRIM] = CAUSE_TRIM, [FLOW_FAULT_REDIRECT] = CAUSE_REDIRECT};
	uint8_t fault = __atomic_load_n(&session->flows[side].fault, __ATOMIC_ACQUIRE);

	if (fault == FLOW_FAULT_NONE || fault >= FLOW_FAULTS || session->ends[!side].broken)
		return true;
	/* A target that is reset leaves the map while the verdict looks at it: that is a reset, not a fault. */
	if (fault == FLOW_FAULT_REDIRECT && is_gone(&session->ends[!side]))
		return side_fail(session, !side, -ECONNRESET);
	session_end(session, causes[fault], true);
	return false;
}

bool side_check(struct session *session, enum side side)
{
	struct end *end = &session->ends[side];
	socklen_t length = sizeof(int);
	int error = 0;

	if (end->poll_error) {
		end->poll_error = false;
		if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error && !end->broken)
			return side_fail(session, side, -error);
	}
	return check_fault(session, side);
}

/* --- its end --- */

void side_close(struct session *session, enum side side, bool hard)
{
	struct linger linger = {.l_onoff = 1};
	struct end *end = &session->ends[side];

	if (end->fd < 0)
		return;
	if (hard)
		setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (side == BACKEND) /* before its port can be another's */
		steer_forget(&session->worker->engine->steer, session->worker->index, &session->ours);
	close(end->fd);
	free(end->held);
	if (end->in_map)
		dataplane_forget(&session->worker->engine->dataplane, end->cookie);
	*end = (struct end){.fd = -1, .generation = (uint16_t)(end->generation + 1)};
}
