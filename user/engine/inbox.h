/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sockets that another worker gives to this one: those of connections taken over, which the first worker makes. A
 * place is reserved, with a slot for the session, before the connection is taken over; so none is lost for lack of
 * room, and a worker with a reservation does not end. The worker that takes over reserves and gives, the owner admits.
 */
#ifndef ALPNBPF_ENGINE_INBOX_H
#define ALPNBPF_ENGINE_INBOX_H

#include <pthread.h>
#include <stdbool.h>

#include "base/address.h"
#include "engine/slots.h"

#define INBOX_MOST 256

struct engine;
struct worker;

struct given {
	int fd;
	struct address client, destination; /* len 0: no destination */
};

struct inbox {
	pthread_mutex_t lock;  /* of all fields */
	unsigned int reserved; /* places, including those of `given` */
	unsigned int count;
	bool closed; /* the worker has ended, or is about to */
	struct given given[INBOX_MOST];
};

void inbox_open(struct inbox *inbox);
/* Closes what was given but not admitted. After the worker has ended. */
void inbox_free(struct inbox *inbox);

/* Reserves a place and a slot in the worker that has the most room. NULL: there is none. */
struct worker *inbox_reserve(struct engine *engine);
/* The reserved place is not needed. */
void inbox_cancel(struct worker *worker);
/*
 * Gives it a socket, which becomes a session there; at once if the calling thread is that worker's. Takes ownership of
 * fd. destination: NULL if there is none.
 */
void inbox_give(struct worker *worker, bool is_caller, int fd, const struct address *client,
		const struct address *destination);

/* The owner makes sessions of what it was given. */
void inbox_admit(struct worker *worker);
/* The owner has nothing left: is nothing reserved either? Then nothing will be. */
bool inbox_close(struct inbox *inbox, const struct slots *slots);

#endif
