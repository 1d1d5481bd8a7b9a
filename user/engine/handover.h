/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How new options come to the workers in a reload, in two steps, because a reload that fails leaves the old ones in
 * force. First the main thread hands them over: options by shared memory, new listeners as descriptors through a
 * socket; the first worker makes a configuration of them, and answers. Then the main thread puts it in force, and each
 * worker adopts it on its next turn. Configurations have numbers: 0 is the one of the start.
 */
#ifndef ALPNBPF_ENGINE_HANDOVER_H
#define ALPNBPF_ENGINE_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"
#include "options/options.h"
#include "steering/owners.h"

struct configuration;
struct engine;
struct worker;

/* What is handed over, except the descriptors. Pointers in the options mean nothing to the workers. */
struct handed {
	struct options options;
	struct backend_owners owners;
	unsigned int max_sessions;           /* of all workers */
	uint16_t rules;                      /* as in struct configuration */
	bool buffers_can_grow;               /* to the size that --buffer asks for: socket_options.h */
	unsigned int opened_count;           /* new listeners of each worker */
	unsigned char opened[LISTENERS_MAX]; /* [opened_count]: which of options.listeners they are */
};

/* In shared memory. */
struct handover_shared {
	struct handed handed;      /* written by the main thread, while every earlier one was answered */
	_Atomic uint32_t in_force; /* written by the main thread */
	_Atomic uint32_t answered; /* the number of the last one that the first worker has answered; written by it */
	_Atomic int answer;        /* 0: it is ready to be put in force; or -errno. Written by the first worker */
};

struct handover {
	int to, from; /* a pair of sockets: the main thread sends, the first worker receives */
	/* For the main thread. */
	uint32_t number, in_force; /* the last one that was handed over; the one in force */
	bool is_awaited;           /* an answer to it */
	/* For the first worker. */
	struct configuration *incoming, *taken; /* not complete; not in force. Owned; NULL: none */
	unsigned int received;                  /* descriptors of `incoming` */
	int error;                              /* why it will be refused; 0: it will not */
};

#define HANDOVER_CLOSED ((struct handover){.to = -1, .from = -1})

/* 0 or -errno. Both while no worker runs. */
int handover_open(struct handover *handover);
void handover_close(struct handover *handover);

/* --- the main thread's side --- */

/* Was the last one answered? If not, nothing can be handed over. */
bool handover_is_free(const struct engine *engine);
/* descriptors: [worker * opened_count + i], of which the caller keeps and closes its copies. 0, or -errno and why. */
int handover_send(struct engine *engine, const struct handed *handed, const int *descriptors, struct sentence *why);
/* The workers' answer to it: 0, -errno, or -EINPROGRESS. `answered` of the engine becomes readable with it. */
int handover_answer(const struct engine *engine);
/* Puts it in force, after the answer 0. */
void handover_put_in_force(struct engine *engine);
/* Have all running workers adopted it? `answered` becomes readable when to check again. */
bool handover_is_adopted(const struct engine *engine);
/* They have: what no session uses any more can go. */
void handover_prune(struct engine *engine);

/* --- the first worker's side --- */

/* `from` is readable: receives what has come, and answers once it is complete. */
void handover_receive(struct worker *worker);
/* On each turn: publishes to all workers what is in force now. */
void handover_follow(struct worker *worker);
/* When woken: frees configurations that no session and no worker uses. */
void handover_free_unused(struct worker *worker);

#endif
