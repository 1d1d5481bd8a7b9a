// SPDX-License-Identifier: BSD-2-Clause
/*
 * Moves the bytes that user space owes. Bytes are peeked at, sent, published as forwarded, and only then consumed: the
 * source's window stays closed meanwhile, what could not be sent stays in the kernel, and this process holds no payload
 * between two events. Runs on the thread of the session's worker; the verdict may run at any moment.
 */
#include "relay.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "log.h"
#include "worker.h"

#define ROUNDS_AT_ONCE 8          /* recv/send rounds of a flow before others have their turn */
#define RETRY_FIRST_US 50         /* the kernel's backlog worker is usually done by then */
#define RETRY_LAST_US  (100 * MS) /* a peer that stalls costs ten looks a second, no more */
#define LOST_AFTER_US  (5000 * MS)
#define LINGER_US      (5000 * MS) /* of a side whose peer is gone, while nothing of the last bytes is acknowledged */

/* --- what the kernel says --- */

static uint64_t load(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

uint64_t relay_arrived(const struct flow *flow)
{
	return load(&flow->redirected) + load(&flow->passed);
}

static uint64_t unacknowledged(const struct end *end)
{
	int bytes = 0;

	if (end->fd < 0 || !end->is_tcp || ioctl(end->fd, SIOCOUTQ, &bytes))
		return 0;
	return (uint64_t)bytes;
}

/* Sequence space its TCP has taken since the connection began, never too high: what was acknowledged is read first. */
static uint64_t accepted(const struct end *end)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (getsockopt(end->fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		return 0;
	return info.tcpi_bytes_acked + unacknowledged(end);
}

/*
 * Has everything redirected from this side arrived in the other side's TCP? A redirected segment waits for the kernel's
 * backlog worker; bytes sent, or a FIN, before that would overtake it or cut it off (KERNEL-FACTS 3).
 */
static bool drained(struct session *session, enum side from)
{
	struct end *target = &session->ends[!from];
	const struct flow *flow = &session->flows[from];
	uint64_t redirected = load(&flow->redirected), taken;

	if (redirected == target->drained)
		return true;
	taken = accepted(target);
	taken = taken > target->sent_apart ? taken - target->sent_apart : 0;
	if (taken < redirected + flow->forwarded) {
		if (session->undrained_at[from] != taken || !session->undrained_since[from]) {
			session->undrained_at[from] = taken;
			session->undrained_since[from] = session->worker->now;
		}
		return false;
	}
	target->drained = redirected;
	session->undrained_since[from] = 0;
	session->retry_delay = 0;
	return true;
}

/* Does the socket's send queue have a quarter of its buffer free? Then nothing redirected can be waiting for room. */
static bool has_room(const struct end *end)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t length = sizeof(memory);

	if (getsockopt(end->fd, SOL_SOCKET, SO_MEMINFO, memory, &length))
		return false;
	return memory[SK_MEMINFO_WMEM_QUEUED] < memory[SK_MEMINFO_SNDBUF] / 4 * 3;
}

/* Nothing taken for seconds though there is room: what was redirected is gone, and that is known by nothing else. */
static bool is_lost(const struct session *session, enum side from)
{
	return session->undrained_since[from] &&
	       session->worker->now - session->undrained_since[from] > LOST_AFTER_US && has_room(&session->ends[!from]);
}

/* --- waiting --- */

uint32_t relay_events(const struct session *session, enum side side)
{
	const struct end *end = &session->ends[side];
	uint32_t events = EPOLLRDHUP | EPOLLET;

	/* In the map, EPOLLIN would wake us for every redirected batch (KERNEL-FACTS 6): the event ring tells instead.
	 */
	if (!end->in_map)
		events |= EPOLLIN;
	if (end->watches_out)
		events |= EPOLLOUT;
	return events;
}

/* The send buffer is full: wait for EPOLLOUT. Once asked for it stays in the mask, an edge costs nothing otherwise. */
static bool wait_for_room(struct session *session, enum side side)
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
static void look_again(struct session *session)
{
	uint64_t delay = session->retry_delay ? 2 * session->retry_delay : RETRY_FIRST_US;

	session->retry_delay = delay < RETRY_LAST_US ? delay : RETRY_LAST_US;
	timer_set(&session->worker->timers, &session->retry, session->worker->now + session->retry_delay);
}

/* --- moving --- */

static bool is_reset(int error)
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

/* A socket call failed for good. */
static bool fail(struct session *session, enum side side, int error)
{
	log_debug("session %llu: the %s failed: %s", (unsigned long long)session->number,
		  side == CLIENT ? "client" : "backend", strerror(error));
	if (is_reset(error))
		lose(session, side);
	else
		session_end(session, CAUSE_LOCAL_ERROR, true);
	return false;
}

/* Take `count` bytes that were peeked at off the queue. */
static bool consume(struct session *session, enum side from, size_t count)
{
	struct end *source = &session->ends[from];
	/* TCP drops them without a copy; in the map, and on unix sockets, MSG_TRUNC means something else. */
	int flags = MSG_DONTWAIT | (source->is_tcp && !source->in_map ? MSG_TRUNC : 0);

	while (count) {
		ssize_t taken = recv(source->fd, session->worker->scratch, count, flags);

		if (taken > 0)
			count -= (size_t)taken;
		else if (taken < 0 && errno == EINTR)
			continue;
		else
			return fail(session, from, taken < 0 ? errno : EIO);
	}
	return true;
}

enum moved { MOVED_SOME, MOVED_NOTHING, MOVED_END, MOVED_FAILED };

/* One round: peek, send, publish, consume. */
static enum moved move(struct session *session, enum side from)
{
	struct end *source = &session->ends[from], *target = &session->ends[!from];
	struct flow *flow = &session->flows[from];
	ssize_t peeked = recv(source->fd, session->worker->scratch, SCRATCH_BYTES, MSG_PEEK | MSG_DONTWAIT), sent;

	if (peeked == 0)
		return MOVED_END;
	if (peeked < 0) {
		if (errno == EINTR)
			return MOVED_SOME;
		if (source->broken && is_reset(errno))
			return MOVED_END;
		if (errno != EAGAIN) {
			fail(session, from, errno);
			return MOVED_FAILED;
		}
		if (source->in_map) /* owed, but behind segments the backlog worker has not dealt with */
			look_again(session);
		source->readable = false;
		return MOVED_NOTHING;
	}
	/*
	 * After a FIN was seen we come here with nothing owed, and until recv() had the lock the verdict may have
	 * redirected more and then passed what we hold. Now something is owed: nothing more is redirected, this answer
	 * is final.
	 */
	if (source->in_map && !drained(session, from)) {
		look_again(session);
		return MOVED_NOTHING;
	}
	/* The invariant, as of now and until `forwarded` is published: we owe what we hold, so nothing is redirected.
	 */
	assert(!source->in_map || source->broken ||
	       (flow->forwarded + (uint64_t)peeked <= load(&flow->passed) &&
		load(&flow->redirected) == target->drained));
	sent = send(target->fd, session->worker->scratch, (size_t)peeked, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) {
		if (errno == EINTR)
			return MOVED_SOME;
		if (errno == ENOBUFS || errno == ENOMEM) {
			look_again(session);
			return MOVED_NOTHING;
		}
		if (errno != EAGAIN) {
			fail(session, !from, errno);
			return MOVED_FAILED;
		}
		return wait_for_room(session, !from) ? MOVED_NOTHING : MOVED_FAILED;
	}
	/* In this order: see "A pass must not be lost on the worker" at struct flow. */
	__atomic_store_n(&flow->forwarded, flow->forwarded + (uint64_t)sent, __ATOMIC_SEQ_CST);
	session->retry_delay = 0;
	if (!consume(session, from, (size_t)sent))
		return MOVED_FAILED;
	if (sent < peeked)
		return wait_for_room(session, !from) ? MOVED_NOTHING : MOVED_FAILED;
	/* A short read does not mean that the queue is empty: recv() stops at TCP's urgent mark. EAGAIN does. */
	return MOVED_SOME;
}

static bool owes(const struct session *session, enum side from)
{
	const struct end *source = &session->ends[from];
	const struct flow *flow = &session->flows[from];

	/* The reset took it out of the map, and with the psock what was passed and not fetched (sock_map_unhash). */
	if (!source->in_map || source->broken)
		return source->readable;
	return source->fin_seen || load(&flow->passed) != flow->forwarded;
}

/* recv() said end. Pass it on once it is one: nothing owed, nothing on its way. False when that ended the session. */
static bool end_flow(struct session *session, enum side from)
{
	struct end *source = &session->ends[from], *target = &session->ends[!from];
	const struct flow *flow = &session->flows[from];

	if ((source->in_map && load(&flow->passed) != flow->forwarded) || !drained(session, from)) {
		if (is_lost(session, from)) {
			session_end(session, CAUSE_LOST, true);
			return false;
		}
		look_again(session);
		return true;
	}
	if (shutdown(target->fd, SHUT_WR))
		return fail(session, !from, errno);
	source->read_ended = true;
	return true;
}

/* All that a broken side had said is in the other side's TCP: is it acknowledged as well? Ends the session then. */
static bool end_broken(struct session *session, enum side from)
{
	if (!drained(session, from) || unacknowledged(&session->ends[!from]))
		return true;
	session_reset(session, from);
	return false;
}

/* The other side of a broken one takes nothing for LINGER_US. */
static bool lingered(struct session *session, enum side side)
{
	uint64_t left = unacknowledged(&session->ends[!side]), now = session->worker->now;

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
		if (!drained(session, from)) {
			if (is_lost(session, from)) {
				session_end(session, CAUSE_LOST, true);
				return false;
			}
			look_again(session);
			return true;
		}
		if (round == ROUNDS_AT_ONCE) {
			worker_mark(session);
			return true;
		}
		switch (move(session, from)) {
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
		return fail(session, !side, ECONNRESET);
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
			return fail(session, side, error);
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
			look_again(session);
	}
	if (ends[CLIENT].read_ended && ends[BACKEND].read_ended)
		session_end(session, CAUSE_DONE, false);
}

/* --- idleness --- */

uint64_t relay_activity(const struct session *session)
{
	uint64_t sum = 0;

	for (int side = CLIENT; side < SIDES; side++) {
		const struct flow *flow = &session->flows[side];

		/* What leaves a send buffer moves as well; arrivals count double, so that the two never cancel out. */
		sum += 2 * (relay_arrived(flow) + flow->forwarded) - unacknowledged(&session->ends[side]);
	}
	return sum;
}

bool relay_holds_bytes(const struct session *session)
{
	for (int side = CLIENT; side < SIDES; side++)
		if (owes(session, (enum side)side) || unacknowledged(&session->ends[side]))
			return true;
	return false;
}
