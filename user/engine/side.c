// SPDX-License-Identifier: BSD-2-Clause
/*
 * One of the two sockets of a session: see side.h. Runs on the thread of the session's worker; the verdict may run at
 * any moment.
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

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/flow.h"
#include "engine/worker.h"

/* --- epoll --- */

/* The epoll mask, derived from the state of the socket. */
static uint32_t events_of(const struct socket_side *sock)
{
	uint32_t events = EPOLLRDHUP | EPOLLET;

	/* In the map, EPOLLIN would come with each redirected batch (docs/KERNEL.md 6); the event ring replaces it. */
	if (!sock->in_map)
		events |= EPOLLIN | EPOLLPRI;
	if (sock->polls_out)
		events |= EPOLLOUT;
	return events;
}

int side_poll(struct session *session, enum side side)
{
	struct worker *worker = session->worker;
	struct socket_side *sock = &session->sides[side];
	union event_source source = {.kind = SOURCE_SESSION,
				     .side = (uint8_t)side,
				     .generation = sock->generation,
				     .index = slots_index(&worker->slots, session)};
	struct epoll_event event = {.events = events_of(sock), .data.u64 = source.bits};

	if (epoll_ctl(worker->epoll, sock->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, sock->fd, &event))
		return -errno;
	sock->polled = true;
	return 0;
}

bool side_poll_or_end(struct session *session, enum side side)
{
	if (side_poll(session, side) == 0)
		return true;
	session_end(session, CAUSE_LOCAL_ERROR, true);
	return false;
}

/* EPOLLOUT stays in the mask afterwards: edge-triggered, it costs nothing. */
bool side_wait_for_room(struct session *session, enum side side)
{
	struct socket_side *sock = &session->sides[side];

	sock->blocked = true;
	if (sock->polls_out)
		return true;
	sock->polls_out = true;
	return side_poll_or_end(session, side);
}

/* --- the map --- */

void side_insert(struct session *session, enum side side)
{
	struct socket_side *sock = &session->sides[side];
	int error = dataplane_insert(&session->worker->engine->dataplane, SIDE_KEY(session->slot, side), sock->fd,
				     &sock->cookie);

	sock->in_map = error == 0;
	sock->readable = !sock->in_map;
	if (error && error != -EOPNOTSUPP) /* expected: the peer has sent its FIN already */
		log_debug("session %llu: the %s stays in user space: %s", (unsigned long long)session->number,
			  side == CLIENT ? "client" : "backend", strerror(-error));
}

int side_kick(const struct session *session, enum side side)
{
	return session->sides[side].in_map ? dataplane_kick(session->sides[side].fd) : 0;
}

/* --- errors --- */

bool side_is_reset(int error)
{
	return error == -ECONNRESET || error == -EPIPE || error == -ETIMEDOUT || error == -ECONNABORTED ||
	       error == -ENOTCONN || error == -EHOSTUNREACH || error == -ENETUNREACH || error == -ECONNREFUSED;
}

/*
 * The connection of a side is gone. Bytes that it sent before may still be in the kernel, or in the other side's send
 * queue, where a reset would discard them: for example the answer to a refused upload, after which the server closes
 * with bytes unread. So the other side is reset only once it has received them, or stalls.
 */
static void lose_side(struct session *session, enum side side)
{
	struct socket_side *sock = &session->sides[side];

	if (session->state != SESSION_OPEN) {
		session_reset(session, side);
	} else if (session->sides[!side].broken) {
		session_reset(session, !side);
	} else {
		sock->broken = sock->readable = true;
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

/* Has a reset or a timeout ended the TCP connection? */
static bool tcp_is_closed(const struct socket_side *sock)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	return sock->is_tcp && getsockopt(sock->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
	       info.tcpi_state == BPF_TCP_CLOSE;
}

static bool check_fault(struct session *session, enum side side)
{
	static const enum session_cause causes[FLOW_FAULTS] = {
		[FLOW_FAULT_GAP] = CAUSE_GAP, [FLOW_FAULT_TRIM] = CAUSE_TRIM, [FLOW_FAULT_REDIRECT] = CAUSE_REDIRECT};
	enum flow_fault fault = flow_fault(&session->flows[side]);

	if (fault == FLOW_FAULT_NONE || fault >= FLOW_FAULTS || session->sides[!side].broken)
		return true;
	/* A target that is reset leaves the map while the verdict runs: that is a reset, not a fault. */
	if (fault == FLOW_FAULT_REDIRECT && tcp_is_closed(&session->sides[!side]))
		return side_fail(session, !side, -ECONNRESET);
	session_end(session, causes[fault], true);
	return false;
}

bool side_check(struct session *session, enum side side)
{
	struct socket_side *sock = &session->sides[side];
	socklen_t length = sizeof(int);
	int error = 0;

	if (sock->poll_error) {
		sock->poll_error = false;
		if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error && !sock->broken)
			return side_fail(session, side, -error);
	}
	return check_fault(session, side);
}

/* --- its end --- */

void side_close(struct session *session, enum side side, bool hard)
{
	struct linger linger = {.l_onoff = 1};
	struct socket_side *sock = &session->sides[side];

	if (sock->fd < 0)
		return;
	if (hard)
		setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (side == BACKEND) /* before the port can be reused */
		own_connection_forget(&session->worker->engine->steer.own, session->worker->index,
				      &session->connecting.own);
	close(sock->fd);
	free(sock->unsent);
	if (sock->in_map)
		dataplane_forget(&session->worker->engine->dataplane, sock->cookie);
	*sock = (struct socket_side){.fd = NO_DESCRIPTOR, .generation = (uint16_t)(sock->generation + 1)};
}
