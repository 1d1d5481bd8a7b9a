// SPDX-License-Identifier: BSD-2-Clause
/* The queue in front of the ACME responder: see responder.h. Any worker's thread, under the queue's lock. */
#include "engine/responder.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/timer.h"
#include "engine/source_history.h"

#define WIDTH_FIRST 2 /* with one, nothing could be learned */
#define RECORDS     8192

#define TELLING_US (100 * US_PER_MS)  /* waiting this long for another's end shows that it serves in turn */
#define PROBE_US   (250 * US_PER_MS)  /* how long one waits before the responder is tried with one more */
#define PROBES_US  (2000 * US_PER_MS) /* between two such attempts */

#define SILENCE_US       (1000 * US_PER_MS)
#define SILENCE_AGAIN_US (300 * US_PER_MS) /* of a source that has stalled; its waiting ones share it */
#define SILENCE_LEAST_US (25 * US_PER_MS)
#define SILENCE_SIEGE_US (150 * US_PER_MS)   /* of an unknown source, while others stall: */
#define SIEGE_US         (10000 * US_PER_MS) /* two in this time */

struct seat_list {
	struct seat *first, *last;
	unsigned int count;
};

struct responder {
	pthread_mutex_t lock;
	void (*wake)(void *context, unsigned int worker); /* not written after responder_new(), nor are these: */
	void *context;
	unsigned int waiting_most, served_most;
	/* Under the lock, as are the seats. */
	struct source_history *history;
	struct seat_list waiting, served; /* in the order in which they came there */
	unsigned int answered;            /* of those served */
	unsigned int width;
	uint64_t stalled_at[2];                /* us; the last two */
	uint64_t next_probe, answered_at;      /* us; answered: any of them, the last time */
	uint64_t ended_at, ended_was_answered; /* us; of the last answered one that ended */
	_Atomic(struct seat *) called[];       /* [workers]; read without the lock, to see whether there is any */
};

struct responder *responder_new(unsigned int workers, unsigned int waiting, unsigned int served,
				void (*wake)(void *context, unsigned int worker), void *context)
{
	struct responder *responder = calloc(1, sizeof(*responder) + workers * sizeof(_Atomic(struct seat *)));
	unsigned int in_use = 2 * (waiting + served + 1);

	if (!responder)
		return NULL;
	responder->history = source_history_new(in_use < RECORDS / 2 ? RECORDS : 2 * in_use);
	if (!responder->history) {
		free(responder);
		return NULL;
	}
	pthread_mutex_init(&responder->lock, NULL);
	responder->wake = wake;
	responder->context = context;
	responder->waiting_most = waiting;
	responder->served_most = served;
	responder->width = served < WIDTH_FIRST ? served : WIDTH_FIRST;
	return responder;
}

void responder_free(struct responder *responder)
{
	if (!responder)
		return;
	pthread_mutex_destroy(&responder->lock);
	source_history_free(responder->history);
	free(responder);
}

/* --- lists --- */

static void list_append(struct seat_list *list, struct seat *seat)
{
	seat->next = NULL;
	seat->previous = list->last;
	*(list->last ? &list->last->next : &list->first) = seat;
	list->last = seat;
	list->count++;
}

static void list_remove(struct seat_list *list, struct seat *seat)
{
	*(seat->previous ? &seat->previous->next : &list->first) = seat->next;
	*(seat->next ? &seat->next->previous : &list->last) = seat->previous;
	seat->next = seat->previous = NULL;
	list->count--;
}

static void call(struct responder *responder, struct seat *seat)
{
	if (seat->called)
		return;
	seat->called = true;
	seat->next_called = atomic_load(&responder->called[seat->worker]);
	atomic_store(&responder->called[seat->worker], seat);
	responder->wake(responder->context, seat->worker);
}

static void call_off(struct responder *responder, struct seat *seat)
{
	struct seat *before = atomic_load(&responder->called[seat->worker]);

	if (!seat->called)
		return;
	while (before != seat && before->next_called != seat)
		before = before->next_called;
	if (before == seat)
		atomic_store(&responder->called[seat->worker], seat->next_called);
	else
		before->next_called = seat->next_called;
	seat->called = false;
}

static void set_state(struct seat *seat, enum seat_state state, uint64_t now)
{
	seat->state = state;
	seat->since = now;
}

/* --- who is next --- */

/* The standing of the prefix, then that of the address: less is better. */
static unsigned int rank_of(const struct seat *seat, uint64_t now)
{
	return source_standing(seat->prefix, now) * 3 + source_standing(seat->address, now);
}

static bool is_before(const struct seat *a, const struct seat *b, uint64_t now)
{
	unsigned int rank_a = rank_of(a, now), rank_b = rank_of(b, now);

	if (rank_a != rank_b)
		return rank_a < rank_b;
	if (a->prefix->served != b->prefix->served)
		return a->prefix->served < b->prefix->served;
	switch (source_standing(a->prefix, now)) {
	case SOURCE_PROVED:
		return a->prefix->proved_at < b->prefix->proved_at;
	case SOURCE_UNKNOWN:
		return a->prefix->first_seen > b->prefix->first_seen;
	case SOURCE_STALLED:
		return a->prefix->stalled_at < b->prefix->stalled_at;
	}
	return false;
}

/* Of equals, the one that has waited longest. */
static struct seat *find_next(const struct responder *responder, uint64_t now)
{
	struct seat *best = responder->waiting.first;

	for (struct seat *seat = best; seat; seat = seat->next)
		if (is_before(seat, best, now))
			best = seat;
	return best;
}

/* The one that makes way when too many wait: of the worst standing, of the source with most, the last to come. */
static struct seat *find_last(const struct responder *responder, uint64_t now)
{
	struct seat *worst = responder->waiting.first;

	for (struct seat *seat = worst; seat; seat = seat->next) {
		unsigned int rank = rank_of(seat, now), worst_rank = rank_of(worst, now);

		if (rank > worst_rank || (rank == worst_rank && (seat->prefix->waiting > worst->prefix->waiting ||
								 (seat->prefix->waiting == worst->prefix->waiting &&
								  seat->address->waiting >= worst->address->waiting))))
			worst = seat;
	}
	return worst;
}

/* How many may be with the responder now. */
static unsigned int width_at(struct responder *responder, uint64_t now)
{
	const struct seat *longest = responder->waiting.first;

	if (responder->width == responder->served_most || responder->served.count != responder->width ||
	    responder->answered != responder->width || now < responder->next_probe || now - longest->since < PROBE_US)
		return responder->width;
	responder->next_probe = now + PROBES_US;
	return responder->width + 1;
}

static void serve(struct responder *responder, struct seat *seat, uint64_t now)
{
	list_remove(&responder->waiting, seat);
	seat->prefix->waiting--;
	seat->address->waiting--;
	seat->prefix->served++;
	seat->address->served++;
	list_append(&responder->served, seat);
	set_state(seat, SEAT_GIVEN, now);
	call(responder, seat);
}

static void serve_those_next(struct responder *responder, uint64_t now)
{
	while (responder->waiting.count && responder->served.count < width_at(responder, now))
		serve(responder, find_next(responder, now), now);
}

/* --- those that come and go --- */

static void release_source(struct responder *responder, struct seat *seat)
{
	source_history_release(responder->history, seat->prefix);
	source_history_release(responder->history, seat->address);
	seat->prefix = seat->address = NULL;
}

static void leave_waiting(struct responder *responder, struct seat *seat)
{
	list_remove(&responder->waiting, seat);
	seat->prefix->waiting--;
	seat->address->waiting--;
	release_source(responder, seat);
}

static void make_room(struct responder *responder, uint64_t now)
{
	struct seat *last;

	if (responder->waiting.count <= responder->waiting_most)
		return;
	last = find_last(responder, now);
	leave_waiting(responder, last);
	set_state(last, SEAT_LOST, now);
	call(responder, last);
}

void responder_enter(struct responder *responder, struct seat *seat, const struct address *source, unsigned int worker,
		     uint64_t now)
{
	pthread_mutex_lock(&responder->lock);
	*seat = (struct seat){
		.worker = worker,
		.prefix = source_history_find(responder->history, source, SOURCE_PREFIX, now),
		.address = source_history_find(responder->history, source, SOURCE_ADDRESS, now),
	};
	set_state(seat, SEAT_WAITING, now);
	seat->prefix->waiting++;
	seat->address->waiting++;
	list_append(&responder->waiting, seat);
	serve_those_next(responder, now);
	/* From now on, those that are silent keep others waiting. */
	if (responder->waiting.count == 1)
		for (struct seat *served = responder->served.first; served; served = served->next)
			call(responder, served);
	make_room(responder, now);
	if (seat->state == SEAT_GIVEN) /* the caller sees that itself */
		call_off(responder, seat);
	pthread_mutex_unlock(&responder->lock);
}

/* Another that was answered before, and has not ended as far as is known. */
static struct seat *find_other_answered(const struct responder *responder, const struct seat *but)
{
	for (struct seat *seat = responder->served.last; seat; seat = seat->previous)
		if (seat != but && seat->state == SEAT_ANSWERED)
			return seat;
	return NULL;
}

/*
 * Did it get its answer only once another had ended, though it was there for long before? Then as many as are answered
 * now are served at a time.
 */
static bool was_kept_waiting(const struct responder *responder, const struct seat *seat)
{
	uint64_t from = seat->since > responder->ended_was_answered ? seat->since : responder->ended_was_answered;

	return responder->ended_at >= from + TELLING_US;
}

void responder_answered(struct responder *responder, struct seat *seat, uint64_t now)
{
	pthread_mutex_lock(&responder->lock);
	if (seat->state == SEAT_GIVEN) {
		struct seat *other = find_other_answered(responder, seat);

		responder->answered++;
		responder->answered_at = now;
		if (was_kept_waiting(responder, seat) && responder->answered < responder->width)
			responder->width = responder->answered;
		if (other && responder->width < responder->served_most && 2 * responder->answered > responder->width) {
			other->asked = true;
			call(responder, other);
		}
		set_state(seat, SEAT_ANSWERED, now);
		serve_those_next(responder, now);
	}
	pthread_mutex_unlock(&responder->lock);
}

void responder_tell(struct responder *responder, struct seat *seat, bool is_open, uint64_t now)
{
	unsigned int width;

	pthread_mutex_lock(&responder->lock);
	width = 2 * responder->answered < responder->served_most ? 2 * responder->answered : responder->served_most;
	if (is_open && responder->answered > 1 && width > responder->width)
		responder->width = width;
	seat->asked = false;
	serve_those_next(responder, now);
	pthread_mutex_unlock(&responder->lock);
}

static void note_end(struct responder *responder, struct seat *seat, enum seat_end end, uint64_t now)
{
	if (seat->state == SEAT_ANSWERED) {
		responder->answered--;
		responder->ended_at = now;
		responder->ended_was_answered = seat->since;
	}
	if (end == SEAT_WENT_WELL)
		seat->prefix->proved_at = seat->address->proved_at = now;
	if (end != SEAT_STALLED)
		return;
	seat->prefix->stalled_at = seat->address->stalled_at = now;
	responder->stalled_at[0] = responder->stalled_at[1];
	responder->stalled_at[1] = now;
}

void responder_leave(struct responder *responder, struct seat *seat, enum seat_end end, uint64_t now)
{
	pthread_mutex_lock(&responder->lock);
	switch (seat->state) {
	case SEAT_NONE:
	case SEAT_LOST:
		break;
	case SEAT_WAITING:
		leave_waiting(responder, seat);
		break;
	case SEAT_GIVEN:
	case SEAT_ANSWERED:
		note_end(responder, seat, end, now);
		list_remove(&responder->served, seat);
		seat->prefix->served--;
		seat->address->served--;
		release_source(responder, seat);
		serve_those_next(responder, now);
		break;
	}
	call_off(responder, seat);
	seat->state = SEAT_NONE;
	pthread_mutex_unlock(&responder->lock);
}

/* --- what a worker asks --- */

static uint64_t allowance_of(const struct responder *responder, const struct seat *seat, uint64_t now)
{
	enum source_standing prefix = source_standing(seat->prefix, now), address = source_standing(seat->address, now);
	bool siege = responder->stalled_at[0] && now - responder->stalled_at[0] < SIEGE_US;
	uint64_t allowance = SILENCE_AGAIN_US / (1 + seat->address->waiting);

	if (address == SOURCE_STALLED || (address == SOURCE_UNKNOWN && prefix == SOURCE_STALLED))
		return allowance > SILENCE_LEAST_US ? allowance : SILENCE_LEAST_US;
	return siege && prefix == SOURCE_UNKNOWN ? SILENCE_SIEGE_US : SILENCE_US;
}

struct seat_view responder_view(struct responder *responder, const struct seat *seat, uint64_t now)
{
	struct seat_view view;

	pthread_mutex_lock(&responder->lock);
	view = (struct seat_view){.state = seat->state,
				  .asked = seat->asked,
				  .pressed = responder->waiting.count > 0,
				  .since = seat->since,
				  .allowance = SILENCE_US};
	if (seat->prefix)
		view.allowance = allowance_of(responder, seat, now);
	pthread_mutex_unlock(&responder->lock);
	return view;
}

uint64_t responder_look(struct responder *responder, uint64_t now)
{
	uint64_t next;

	pthread_mutex_lock(&responder->lock);
	serve_those_next(responder, now);
	next = responder->next_probe > now + PROBE_US ? responder->next_probe : now + PROBE_US;
	pthread_mutex_unlock(&responder->lock);
	return next;
}

struct seat *responder_called(struct responder *responder, unsigned int worker)
{
	struct seat *seat;

	if (!atomic_load(&responder->called[worker])) /* the wake-up comes after it is set */
		return NULL;
	pthread_mutex_lock(&responder->lock);
	seat = atomic_load(&responder->called[worker]);
	if (seat)
		call_off(responder, seat);
	pthread_mutex_unlock(&responder->lock);
	return seat;
}

void responder_forget(struct responder *responder)
{
	pthread_mutex_lock(&responder->lock);
	responder->width = responder->served_most < WIDTH_FIRST ? responder->served_most : WIDTH_FIRST;
	responder->next_probe = responder->answered_at = 0;
	pthread_mutex_unlock(&responder->lock);
}

uint64_t responder_last_answer(struct responder *responder)
{
	uint64_t at;

	pthread_mutex_lock(&responder->lock);
	at = responder->answered_at;
	pthread_mutex_unlock(&responder->lock);
	return at;
}

unsigned int responder_width(struct responder *responder)
{
	unsigned int width;

	pthread_mutex_lock(&responder->lock);
	width = responder->width;
	pthread_mutex_unlock(&responder->lock);
	return width;
}

unsigned int responder_waiting(struct responder *responder)
{
	unsigned int count;

	pthread_mutex_lock(&responder->lock);
	count = responder->waiting.count;
	pthread_mutex_unlock(&responder->lock);
	return count;
}
