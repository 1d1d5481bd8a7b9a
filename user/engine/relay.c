// SPDX-License-Identifier: BSD-2-Clause
/*
 * The user-space path of an open session: which flow moves now, what it waits for, how it ends. Runs on the thread of
 * the session's worker; the verdict may run at any moment.
 */
#include "engine/relay.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "engine/in_flight.h"
#include "base/log.h"
#include "engine/transfer.h"
#include "engine/promote.h"
#include "engine/worker.h"

#define ROUNDS_AT_ONCE 8           /* recv/send rounds of a flow before others have their turn */
#define RETRY_FIRST_US 50          /* the kernel's backlog worker is usually done by then */
#define RETRY_LAST_US  (100 * MS)  /* a peer that stalls costs ten looks a second, no more */
#define LINGER_US      (5000 * MS) /* of a side whose peer is gone, while nothing of the last bytes is acknowledged */

uint64_t relay_arrived(const struct flow *flow)
{
	return relay_load(&flow->redirected) + relay_load(&flow->passed);
}

/* --- waiting --- */

uint32_t relay_events(const struct session *session, enum side side)
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
bool relay_wait_for_room(struct session *session, enum side side)
{
	struct end *end = &session->ends[side];

	end->blocked = true;
	if (end->watches_out)
		return true;
	end->watches_out = true;
	if (worker_watch(session, side, relay_events(session, side), true) == 0)
		return true;
	session_end(session, CAUSE_LOCAL_ERROR, true);
	return false;
}

/* Nothing will tell when the kernel's backlog worker is done: look again, less and less often. */
void relay_look_again(struct session *session)
{
	uint64_t delay = session->retry_delay ? 2 * session->retry_delay : RETRY_FIRST_US;

	session->retry_delay = delay < RETRY_LAST_US ? delay : RETRY_LAST_US;
	timer_set(&session->worker->timers, &session->retry, session->worker->now + session->retry_delay);
}

/* --- moving --- */

bool relay_is_reset(int error)
{
	return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT || error == ECONNABORTED ||
	       error == ENOTCONN || error == EHOSTUNREACH || error == ENETUNREACH || error == ECONNREFUSED;
}

/*
 * The connection of a side is gone. What came from it before may still be in the kernel or in the other side's send
 * queue, where a reset would cut it off though the peer had sent it in order: an answer to an upload that was refused,
 * closed with the rest unread. So the other side is reset only once it has all of that, or stalls.
 */
static void lose(struct session *session, enum side side)
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

bool relay_fail(struct session *session, enum side side, int error)
{
	log_debug("session %llu: the %s failed: %s", (unsigned long long)session->number,
		  side == CLIENT ? "client" : "backend", strerror(error));
	if (relay_is_reset(error))
		lose(session, side);
	else
		session_end(session, CAUSE_LOCAL_ERROR, true);
	return false;
}

static bool owes(const struct session *session, enum side from)
{
	const struct end *source = &session->ends[from];
	const struct flow *flow = &session->flows[from];

	if (source->held)
		return true;
	/* The reset took it out of the map, and with the psock what was passed and not fetched (sock_map_unhash). */
	if (!source->in_map || source->broken)
		return source->readable;
	return source->fin_seen || relay_load(&flow->passed) != flow->forwarded;
}

/* recv() said end. Pass it on once it is one: nothing owed, nothing on its way. False when that ended the session. */
static bool end_flow(struct session *session, enum side from)
{
	struct end *source = &session->ends[from], *target = &session->ends[!from];
	const struct flow *flow = &session->flows[from];

	if ((source->in_map && relay_load(&flow->passed) != flow->forwarded) || !drain_is_done(session, from)) {
		if (drain_is_lost(session, from)) {
			session_end(session, CAUSE_LOST, true);
			return false;
		}
		relay_look_again(session);
		return true;
	}
	/* After the second one both are closed at once, which says the same. */
	if (!target->read_ended && shutdown(target->fd, SHUT_WR))
		return relay_fail(session, !from, errno);
	source->read_ended = true;
	if (source == &session->ends[BACKEND] && !target->read_ended && !target->fin_seen)
		session->backend_first = true;
	return true;
}

/* All that a broken side had said is in the other side's TCP: is it acknowledged as well? Ends the session then. */
static bool end_broken(struct session *session, enum side from)
{
	if (!drain_is_done(session, from) || drain_unacknowledged(&session->ends[!from]))
		return true;
	session_reset(session, from);
	return false;
}

/* The other side of a broken one takes nothing for LINGER_US. */
static bool lingered(struct session *session, enum side side)
{
	uint64_t left = drain_unacknowledged(&session->ends[!side]), now = session->worker->now;

	if (!session->lingers_since || left != session->lingers_with) {
		session->lingers_since = now;
		session->lingers_with = left;
	}
	return now - session->lingers_since > LINGER_US;
}

/* False when the session has ended. */
static bool relay_flow(struct session *session, enum side from)
{
	struct end *source = &session->ends[from], *target = &session->ends[!from];

	if (target->broken)
		return true;
	if (source->read_ended)
		return !source->broken || end_broken(session, from);
	for (int round = 0; owes(session, from); round++) {
		if (target->blocked)
			return true;
		if (!drain_is_done(session, from)) {
			if (drain_is_lost(session, from)) {
				session_end(session, CAUSE_LOST, true);
				return false;
			}
			relay_look_again(session);
			return true;
		}
		if (round == ROUNDS_AT_ONCE) {
			worker_mark(session);
			return true;
		}
		switch (move_some(session, from)) {
		case MOVED_SOME:
			continue;
		case MOVED_NOTHING:
			return true;
		case MOVED_END:
			return source->broken ? end_broken(session, from) : end_flow(session, from);
		case MOVED_FAILED:
			return false;
		}
	}
	return true;
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

	if (!fault || fault >= FLOW_FAULTS || session->ends[!side].broken)
		return true;
	/* A target that is reset leaves the map while the verdict looks at it: that is a reset, not a fault. */
	if (fault == FLOW_FAULT_REDIRECT && is_gone(&session->ends[!side]))
		return relay_fail(session, !side, ECONNRESET);
	session_end(session, causes[fault], true);
	return false;
}

bool relay_check(struct session *session, enum side side)
{
	struct end *end = &session->ends[side];
	socklen_t length = sizeof(int);
	int error = 0;

	if (end->poll_error) {
		end->poll_error = false;
		if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error && !end->broken)
			return relay_fail(session, side, error);
	}
	return check_fault(session, side);
}

void relay_progress(struct session *session)
{
	struct end *ends = session->ends;

	for (int side = CLIENT; side < SIDES; side++)
		if (!relay_check(session, (enum side)side))
			return;
	for (int side = CLIENT; side < SIDES; side++) {
		if (ends[side].broken && lingered(session, (enum side)side)) {
			session_reset(session, (enum side)side);
			return;
		}
		if (!relay_flow(session, (enum side)side))
			return;
		if (ends[side].broken) /* no event tells that the last byte was acknowledged, or that none is */
			relay_look_again(session);
	}
	if (ends[CLIENT].read_ended && ends[BACKEND].read_ended)
		session_end(session, CAUSE_DONE, false);
	else if (promote_is_due(session))
		promote(session);
}

/* --- idleness --- */

uint64_t relay_activity(const struct session *session)
{
	uint64_t sum = 0;

	for (int side = CLIENT; side < SIDES; side++) {
		const struct flow *flow = &session->flows[side];

		/* What leaves a send buffer moves as well; arrivals count double, so that the two never cancel out. */
		sum += 2 * (relay_arrived(flow) + flow->forwarded) - drain_unacknowledged(&session->ends[side]);
	}
	return sum;
}

bool relay_holds_bytes(const struct session *session)
{
	for (int side = CLIENT; side < SIDES; side++)
		if (owes(session, (enum side)side) || drain_unacknowledged(&session->ends[side]))
			return true;
	return false;
}
