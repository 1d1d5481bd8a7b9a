// SPDX-License-Identifier: BSD-2-Clause
/* Sockets on their way from one worker to another: see inbox.h. Owns those in struct inbox. */
#include "engine/inbox.h"

#include <string.h>
#include <unistd.h>

#include "engine/accept.h"
#include "engine/worker.h"

void inbox_open(struct inbox *inbox)
{
	pthread_mutex_init(&inbox->lock, NULL);
}

void inbox_free(struct inbox *inbox)
{
	for (unsigned int i = 0; i < inbox->count; i++)
		close(inbox->given[i].fd);
	inbox->count = 0;
	pthread_mutex_destroy(&inbox->lock);
}

static bool reserve_in(struct worker *worker)
{
	struct inbox *inbox = &worker->inbox;
	bool reserved;

	pthread_mutex_lock(&inbox->lock);
	reserved = !inbox->closed && worker_loops(worker) != WORKER_ENDED && inbox->reserved < INBOX_MOST &&
		   slots_reserve(&worker->slots);
	inbox->reserved += reserved;
	pthread_mutex_unlock(&inbox->lock);
	return reserved;
}

/* The first one, if several have the same. */
static struct worker *with_most_room(struct engine *engine)
{
	struct worker *best = &engine->workers[0];

	for (unsigned int i = 1; i < engine->worker_count; i++)
		if (slots_room(&engine->workers[i].slots) > slots_room(&best->slots))
			best = &engine->workers[i];
	return best;
}

struct worker *inbox_reserve(struct engine *engine)
{
	struct worker *worker = with_most_room(engine);

	if (reserve_in(worker))
		return worker;
	for (unsigned int i = 0; i < engine->worker_count; i++)
		if (reserve_in(&engine->workers[i]))
			return &engine->workers[i];
	return NULL;
}

static void forget_reservation(struct inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->reserved--;
	pthread_mutex_unlock(&inbox->lock);
}

void inbox_cancel(struct worker *worker)
{
	slots_cancel(&worker->slots);
	forget_reservation(&worker->inbox);
	worker_wake(worker); /* it may be waiting to end */
}

static void admit(struct worker *worker, const struct given *given)
{
	accept_admit(worker, given->fd, &given->client, given->destination.len ? &given->destination : NULL, true);
}

void inbox_give(struct worker *worker, bool is_caller, int fd, const struct address *client,
		const struct address *destination)
{
	struct inbox *inbox = &worker->inbox;
	struct given given = {.fd = fd, .client = *client};

	if (destination)
		given.destination = *destination;
	if (is_caller) {
		forget_reservation(inbox);
		admit(worker, &given);
		return;
	}
	pthread_mutex_lock(&inbox->lock);
	inbox->given[inbox->count++] = given;
	pthread_mutex_unlock(&inbox->lock);
	worker_wake(worker);
}

void inbox_admit(struct worker *worker)
{
	struct inbox *inbox = &worker->inbox;

	for (;;) {
		struct given given;

		pthread_mutex_lock(&inbox->lock);
		if (!inbox->count) {
			pthread_mutex_unlock(&inbox->lock);
			return;
		}
		given = inbox->given[0]; /* in order; there are few */
		inbox->count--;
		inbox->reserved--;
		memmove(&inbox->given[0], &inbox->given[1], inbox->count * sizeof(given));
		pthread_mutex_unlock(&inbox->lock);
		admit(worker, &given);
	}
}

bool inbox_close(struct inbox *inbox, const struct slots *slots)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->closed = !inbox->reserved && slots_live(slots) == 0;
	pthread_mutex_unlock(&inbox->lock);
	return inbox->closed;
}
