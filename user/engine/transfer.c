// SPDX-License-Identifier: BSD-2-Clause
/*
 * One round of bytes from a side to the other. Many bytes, and those of a side in the map, are peeked at, sent,
 * published as forwarded, and only then consumed: the source's window stays closed meanwhile, and what could not be
 * sent stays in the kernel. A few bytes are read and sent, which takes half the calls; only what the other side had no
 * room for is kept here. Runs on the thread of the session's worker; the verdict may run at any moment.
 */
#include "engine/transfer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/flow.h"
#include "engine/in_flight.h"
#include "engine/promote.h"
#include "engine/side.h"
#include "engine/worker.h"

#define SHORT_BYTES (32 * 1024) /* what a short read takes; as much may be kept of a flow */

/* Takes `count` bytes that were peeked at off the queue. */
static bool consume_peeked(struct session *session, enum side from, size_t count)
{
	struct socket_side *source = &session->sides[from];
	/* TCP drops them without a copy; in the map, and on unix sockets, MSG_TRUNC means something else. */
	int flags = MSG_DONTWAIT | (source->is_tcp && !source->in_map ? MSG_TRUNC : 0);

	while (count) {
		ssize_t taken = recv(source->fd, session->worker->scratch, count, flags);

		if (taken > 0)
			count -= (size_t)taken;
		else if (taken < 0 && errno == EINTR)
			continue;
		else
			return side_fail(session, from, taken < 0 ? -errno : -EIO);
	}
	return true;
}

/* recv() had nothing, or failed with `error`. */
static enum moved read_nothing(struct session *session, enum side from, int error)
{
	struct socket_side *source = &session->sides[from];

	if (error == -EINTR)
		return MOVED_SOME;
	if (source->broken && side_is_reset(error))
		return MOVED_END;
	if (error != -EAGAIN) {
		side_fail(session, from, error);
		return MOVED_FAILED;
	}
	if (source->in_map) /* owed, but behind segments that wait for the backlog worker */
		session_look_again(session);
	source->readable = false;
	return MOVED_NOTHING;
}

/* send() took nothing, because of `error`. */
static enum moved sent_nothing(struct session *session, enum side from, int error)
{
	if (error == -EINTR)
		return MOVED_SOME;
	if (error == -ENOBUFS || error == -ENOMEM) {
		session_look_again(session);
		return MOVED_NOTHING;
	}
	if (error != -EAGAIN) {
		side_fail(session, !from, error);
		return MOVED_FAILED;
	}
	return side_wait_for_room(session, !from) ? MOVED_NOTHING : MOVED_FAILED;
}

static void publish_forwarded(struct session *session, enum side from, size_t sent)
{
	/* What is owed is looked at after this: see "A pass must not be lost on the worker" at struct flow. */
	flow_add_forwarded(&session->flows[from], sent);
	session->retry_delay = 0;
}

/*
 * After a read of fewer bytes than were asked for. The queue was empty, and an event tells when it is not any more;
 * only an end of the stream, or what lies behind TCP's urgent mark, has had its event already.
 */
static enum moved after_all_was_read(struct socket_side *source)
{
	if (source->in_map || source->fin_seen || source->urgent || source->broken)
		return MOVED_SOME;
	source->readable = false;
	return MOVED_NOTHING;
}

/* One round for many bytes: peek, send, publish_forwarded, consume_peeked. */
static enum moved transfer_bulk(struct session *session, enum side from)
{
	struct socket_side *source = &session->sides[from], *target = &session->sides[!from];
	struct flow *flow = &session->flows[from];
	ssize_t peeked = recv(source->fd, session->worker->scratch, SCRATCH_BYTES, MSG_PEEK | MSG_DONTWAIT), sent;

	if (peeked <= 0)
		return peeked == 0 ? MOVED_END : read_nothing(session, from, -errno);
	/*
	 * After a FIN was seen we come here with nothing owed, and until recv() had the lock the verdict may have
	 * redirected more and then passed what was peeked at. Now something is owed: nothing more is redirected, and
	 * this answer is final.
	 */
	if (source->in_map && !in_flight_is_empty(session, from)) {
		session_look_again(session);
		return MOVED_NOTHING;
	}
	/* The invariant, from now until `forwarded` is published: what was peeked at is owed, nothing is redirected. */
	assert(!source->in_map || source->broken ||
	       (flow->forwarded + (uint64_t)peeked <= flow_load(&flow->passed) &&
		flow_load(&flow->redirected) == target->delivered));
	(void)flow;
	sent = send(target->fd, session->worker->scratch, (size_t)peeked, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0)
		return sent_nothing(session, from, -errno);
	publish_forwarded(session, from, (size_t)sent);
	if (!consume_peeked(session, from, (size_t)sent))
		return MOVED_FAILED;
	if (sent < peeked)
		return side_wait_for_room(session, !from) ? MOVED_NOTHING : MOVED_FAILED;
	source->bulk = peeked >= SHORT_BYTES;
	session->conversation.turns = 0;
	/* More will have come meanwhile. */
	return source->bulk ? MOVED_SOME : after_all_was_read(source);
}

/* Keeps what was read and not sent. */
static bool keep_unsent(struct session *session, enum side from, const uint8_t *bytes, size_t count)
{
	struct socket_side *source = &session->sides[from];

	source->unsent = malloc(count);
	if (!source->unsent) {
		session_end(session, CAUSE_LOCAL_ERROR, true);
		return false;
	}
	memcpy(source->unsent, bytes, count);
	source->unsent_at = 0;
	source->unsent_end = (uint32_t)count;
	return true;
}

static enum moved transfer_unsent(struct session *session, enum side from)
{
	struct socket_side *source = &session->sides[from];
	ssize_t sent = send(session->sides[!from].fd, source->unsent + source->unsent_at,
			    source->unsent_end - source->unsent_at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return sent_nothing(session, from, -errno);
	publish_forwarded(session, from, (size_t)sent);
	source->unsent_at += (uint32_t)sent;
	if (source->unsent_at < source->unsent_end)
		return side_wait_for_room(session, !from) ? MOVED_NOTHING : MOVED_FAILED;
	free(source->unsent);
	source->unsent = NULL;
	return MOVED_SOME;
}

/* One round for a few bytes: read, send, publish_forwarded. */
static enum moved transfer_short(struct session *session, enum side from)
{
	struct socket_side *source = &session->sides[from];
	uint8_t *bytes = session->worker->scratch;
	ssize_t taken = recv(source->fd, bytes, SHORT_BYTES, MSG_DONTWAIT), sent;
	int error = 0;

	if (taken <= 0)
		return taken == 0 ? MOVED_END : read_nothing(session, from, -errno);
	promote_count(session, from);
	sent = send(session->sides[!from].fd, bytes, (size_t)taken, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) {
		error = -errno;
		sent = 0;
	} else {
		publish_forwarded(session, from, (size_t)sent);
	}
	if (sent < taken) {
		if (!keep_unsent(session, from, bytes + sent, (size_t)(taken - sent)))
			return MOVED_FAILED;
		return sent_nothing(session, from, error ? error : -EAGAIN);
	}
	source->bulk = taken == SHORT_BYTES;
	return source->bulk ? MOVED_SOME : after_all_was_read(source);
}

enum moved transfer_some(struct session *session, enum side from)
{
	const struct socket_side *source = &session->sides[from];

	if (source->unsent)
		return transfer_unsent(session, from);
	if (source->in_map || source->bulk)
		return transfer_bulk(session, from);
	return transfer_short(session, from);
}
