/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets of a worker: bound with SO_REUSEPORT, so that each worker has its own.
 */
#ifndef ALPNBPF_ENGINE_LISTENER_H
#define ALPNBPF_ENGINE_LISTENER_H

#include <stdbool.h>

#include "alpnbpf.h"
#include "base/address.h"
#include "base/sentence.h"
#include "options/options.h"
#include "steering/steer.h"

struct configuration;
struct worker;

struct listener {
	int fd;
	struct address address;
	bool shared;   /* with the other workers: the service manager's */
	bool in_place; /* private: sk_lookup gives it connections to the web server's own port */
};

/*
 * Those that open one: on the main thread, before the worker runs. 0, or -errno with a sentence that names the address
 * and the remedy.
 */
int listener_open(struct worker *worker, const struct address *address, struct sentence *why);
/* A socket of the service manager's, for all workers. */
int listener_share(struct worker *worker, int from, const struct address *address, struct sentence *why);
/*
 * The private listener of a family, for connections that are steered to us: on loopback, at a port that the kernel
 * chooses for the first worker.
 */
int listener_open_private(struct worker *worker, enum steer_family family, struct sentence *why);
/* Into *listener, at any time: a worker is to take it over, by listener_change(). */
int listener_prepare(struct listener *listener, const struct steer *steer, const struct options *options,
		     const struct address *address, struct sentence *why);

/* The worker's part of a reload: takes the new listeners, closes those that are gone, brings the others up to date. */
void listener_change(struct worker *worker, struct configuration *configuration);
/* Takes all that waits there, unless others can, then closes: connections the kernel has accepted are served. */
void listener_close_all(struct worker *worker);

#endif
