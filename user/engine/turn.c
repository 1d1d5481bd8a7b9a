// SPDX-License-Identifier: BSD-2-Clause
/* A validation's turn with the ACME responder: see turn.h. Runs on the thread of the session's worker. */
#include "engine/turn.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "engine/deadlines.h"
#include "engine/worker.h"

#define PROMPT_US (500 * US_PER_MS) /* a client that is never silent for longer, round trips apart, did not stall */

static struct responder *responder_of(const struct session *session)
{
	return session->worker->engine->responder;
}

static uint64_t bytes_from(const struct session *session, enum side side)
{
	return session->flows[side].redirected + session->flows[side].forwarded;
}

/* How long the client's network may take for a question and its answer, with what it varies by. */
static uint64_t round_trips(const struct session *session)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (getsockopt(session->sides[CLIENT].fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		return 0;
	return 2 * (uint64_t)info.tcpi_rtt + 4 * (uint64_t)info.tcpi_rttvar;
}

/* The responder has not closed it: unlike EPOLLRDHUP, poll() also tells what no event has reported yet. */
static bool is_open_at_responder(const struct session *session)
{
	struct pollfd backend = {.fd = session->sides[BACKEND].fd, .events = POLLRDHUP};

	return backend.fd >= 0 && poll(&backend, 1, 0) == 0;
}

void turn_join(struct session *session)
{
	session->turn = (struct turn){.joined = true};
	responder_enter(responder_of(session), &session->seat, &session->client, session->worker->index,
			session->worker->now);
}

static enum turn_step end_turn(struct session *session, enum session_cause cause)
{
	session_end(session, cause, true);
	return TURN_OVER;
}

static enum turn_step look_again_at(struct session *session, uint64_t due)
{
	deadline_at(session, due);
	return TURN_GOES_ON;
}

static enum turn_step look_while_waiting(struct session *session)
{
	uint64_t due = deadline_of_answer(session), look = responder_look(responder_of(session), session->worker->now);

	if (session->worker->now >= due)
		return end_turn(session, CAUSE_ACME_UNSERVED);
	return look_again_at(session, look < due ? look : due);
}

static enum turn_step look_before_answer(struct session *session)
{
	uint64_t due = deadline_of_answer(session);
	bool begins = !session->turn.begun;

	if (session->worker->now >= due)
		return end_turn(session, CAUSE_ACME_TIMEOUT);
	session->turn.begun = true;
	deadline_at(session, due);
	return begins ? TURN_BEGINS : TURN_GOES_ON;
}

static enum turn_step look_after_answer(struct session *session, const struct seat_view *view)
{
	uint64_t now = session->worker->now, due = deadline_of_validation(session, view->since), silent, held;

	if (now >= due)
		return end_turn(session, CAUSE_ACME_TIMEOUT);
	if (!view->pressed)
		return look_again_at(session, due);
	silent = session->turn.said_at + view->allowance + round_trips(session);
	held = view->since + DEADLINE_TURN_US + 3 * round_trips(session);
	if (now >= silent || now >= held)
		return end_turn(session, CAUSE_ACME_SILENT);
	due = silent < due ? silent : due;
	return look_again_at(session, held < due ? held : due);
}

static enum turn_step look_after_turn(struct session *session)
{
	uint64_t due = session->turn.answered_at ? deadline_of_validation(session, session->turn.answered_at)
						 : deadline_of_answer(session);

	if (session->worker->now >= due)
		return end_turn(session, CAUSE_ACME_TIMEOUT);
	return look_again_at(session, due);
}

enum turn_step turn_look(struct session *session)
{
	struct seat_view view = responder_view(responder_of(session), &session->seat, session->worker->now);

	if (view.asked)
		responder_tell(responder_of(session), &session->seat, is_open_at_responder(session),
			       session->worker->now);
	switch (view.state) {
	case SEAT_NONE: /* the responder has gone, or has nothing more to say; the client gets the last bytes */
		return look_after_turn(session);
	case SEAT_WAITING:
		return look_while_waiting(session);
	case SEAT_GIVEN:
		return look_before_answer(session);
	case SEAT_ANSWERED:
		return look_after_answer(session, &view);
	case SEAT_LOST:
		return end_turn(session, CAUSE_ACME_UNSERVED);
	}
	return TURN_GOES_ON;
}

static void note_silence(struct session *session, uint64_t now)
{
	struct turn *turn = &session->turn;

	if (now - turn->said_at > turn->longest_silence)
		turn->longest_silence = now - turn->said_at;
}

static void note_answer(struct session *session)
{
	struct turn *turn = &session->turn;

	turn->answered_at = turn->said_at = session->worker->now;
	turn->said = turn->said_at_answer = bytes_from(session, CLIENT);
	responder_answered(responder_of(session), &session->seat, session->worker->now);
}

static void note_bytes(struct session *session)
{
	struct turn *turn = &session->turn;
	uint64_t said = bytes_from(session, CLIENT);

	if (said == turn->said)
		return;
	note_silence(session, session->worker->now);
	turn->said = said;
	turn->said_at = session->worker->now;
}

void turn_progress(struct session *session)
{
	if (session->turn.answered_at) {
		note_bytes(session);
	} else if (bytes_from(session, BACKEND)) {
		note_answer(session);
		if (session->state != SESSION_CLOSING)
			turn_look(session);
	}
	/* It has reset the connection, or closed it: it is free for the next one. */
	if (session->sides[BACKEND].broken || session->sides[BACKEND].read_ended)
		turn_leave(session);
}

/*
 * A client that keeps others from the responder has stalled: one that is silent after its answer, one that sends a few
 * bytes now and then, or one that ends just before it would be cut off.
 */
static enum seat_end end_of(const struct session *session)
{
	const struct turn *turn = &session->turn;

	if (session->cause == CAUSE_ACME_SILENT)
		return SEAT_STALLED;
	if (!turn->answered_at)
		return SEAT_UNDECIDED;
	if (session->cause == CAUSE_ACME_TIMEOUT || turn->longest_silence > PROMPT_US + round_trips(session))
		return SEAT_STALLED;
	return turn_was_replied_to(session) || session->cause == CAUSE_CLIENT_RESET ? SEAT_WENT_WELL : SEAT_UNDECIDED;
}

void turn_leave(struct session *session)
{
	enum seat_end end;

	if (!session->turn.joined)
		return;
	session->turn.joined = false;
	if (!session->turn.answered_at && bytes_from(session, BACKEND))
		note_answer(session);
	if (session->turn.answered_at)
		note_silence(session, session->worker->now);
	end = end_of(session);
	responder_leave(responder_of(session), &session->seat, end, session->worker->now);
}

bool turn_was_answered(const struct session *session)
{
	return bytes_from(session, BACKEND) > 0;
}

bool turn_was_replied_to(const struct session *session)
{
	return session->turn.answered_at && bytes_from(session, CLIENT) > session->turn.said_at_answer;
}
