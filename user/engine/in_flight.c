// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asks the kernel about bytes in flight to a side: taken by its TCP, acknowledged, lost. Runs on the thread of the
 * session's worker.
 */
#include "engine/in_flight.h"

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "engine/deadlines.h"
#include "engine/flow.h"
#include "engine/worker.h"

uint64_t in_flight_unacknowledged(const struct socket_side *sock)
{
	int bytes = 0;

	if (sock->fd < 0 || !sock->is_tcp || ioctl(sock->fd, SIOCOUTQ, &bytes))
		return 0;
	return (uint64_t)bytes;
}

/*
 * Sequence space that TCP has taken since the connection began. Acknowledged bytes are read first, so it is never too
 * high.
 */
static uint64_t taken_by_tcp(const struct socket_side *sock)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (getsockopt(sock->fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		return 0;
	return info.tcpi_bytes_acked + in_flight_unacknowledged(sock);
}

bool in_flight_is_empty(struct session *session, enum side from)
{
	struct socket_side *target = &session->sides[!from];
	const struct flow *flow = &session->flows[from];
	uint64_t redirected = flow_load(&flow->redirected), taken;

	if (redirected == target->delivered)
		return true;
	taken = taken_by_tcp(target);
	taken = taken > target->sent_apart ? taken - target->sent_apart : 0;
	if (taken < redirected + flow->forwarded) {
		if (session->in_flight[from].taken != taken || !session->in_flight[from].since) {
			session->in_flight[from].taken = taken;
			session->in_flight[from].since = session->worker->now;
		}
		return false;
	}
	target->delivered = redirected;
	session->in_flight[from].since = 0;
	session->retry_delay = 0;
	return true;
}

/* Is a quarter of the send buffer free? Then no redirected bytes can be waiting for room. */
static bool has_send_room(const struct socket_side *sock)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t length = sizeof(memory);

	if (getsockopt(sock->fd, SOL_SOCKET, SO_MEMINFO, memory, &length))
		return false;
	return memory[SK_MEMINFO_WMEM_QUEUED] < memory[SK_MEMINFO_SNDBUF] / 4 * 3;
}

bool in_flight_is_lost(const struct session *session, enum side from)
{
	return session->in_flight[from].since &&
	       session->worker->now - session->in_flight[from].since > DEADLINE_LOST_US &&
	       has_send_room(&session->sides[!from]);
}
