// SPDX-License-Identifier: BSD-2-Clause
/*
 * Moves bytes from a side to the other. Large amounts, and bytes of a side in the map, are peeked at, sent, published
 * as forwarded, and only then consumed: meanwhile the source's window stays closed, and unsent bytes stay in the
 * kernel. Small amounts are read and sent, which needs half the calls; bytes without room at the other side are kept
 * here. Runs on the thread of the session's worker; the verdict may run at any moment.
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

#define SHORT_BYTES (32 * 1024) /* the size of a short read, and the limit of unsent bytes per flow */

/* Consumes `count` bytes that were peeked at. */
static bool consume_peeked(struct session *session, enum side from, size_t count)
{
	struct socket_side *source = &session->sides[from];
	/* With MSG_TRUNC TCP drops bytes without a copy; in the map and on unix sockets it means something else. */
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
	if (source->in_map) /* owed, but queued after segments that wait for the backlog worker */
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
	/* The owed bytes are read after this: see "A pass must not be lost on the worker" at struct flow. */
	flow_add_forwarded(&session->flows[from], sent);
	session->retry_delay = 0;
}

/*
 * After a read of fewer bytes than asked for. The queue was empty, and an event will report new bytes; only the end of
 * the stream, and bytes after TCP's urgent mark, have had their event already.
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
	 * After a FIN we come here with nothing owed, and until recv() took the lock, the verdict may have redirected
	 * bytes and then passed those peeked at. Now bytes are owed, so nothing more is redirected, and the check is
	 * final.
	 */
	if (source->in_map && !in_flight_is_empty(session, from)) {
		session_look_again(session);
		return MOVED_NOTHING;
	}
	/* The invariant until `forwarded` is published: the bytes peeked at are owed, and nothing is redirected. */
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
	/* After a full read, more has probably arrived. */
	return source->bulk ? MOVED_SOME : after_all_was_read(source);
}

/* Keeps bytes that were read but not sent. */
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
