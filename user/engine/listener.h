/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets of a worker. They are bound with SO_REUSEPORT, so that each worker has its own. Opened on the main
 * thread, used on the worker's.
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
	bool shared;   /* with the other workers: a socket of the service manager */
	bool in_place; /* private: sk_lookup assigns connections to the web server's port to it */
};

/*
 * Opens a listener, on the main thread, before the worker runs. 0, or -errno, and why names the address and the remedy.
 */
int listener_open(struct worker *worker, const struct address *address, struct sentence *why);
/* Adds a socket that the service manager passed, which all workers share. */
int listener_share(struct worker *worker, int from, const struct address *address, struct sentence *why);
/*
 * Opens the private listener of a family, for connections steered to us: on loopback, on a port that the kernel chooses
 * for the first worker.
 */
int listener_open_private(struct worker *worker, enum steer_family family, struct sentence *why);
/* Opens a listener at any time, which a worker will take over in listener_change(). */
int listener_prepare(struct listener *listener, const struct steer *steer, const struct options *options,
		     const struct address *address, struct sentence *why);

/* The worker's part of a reload: takes new listeners, closes removed ones, and updates the others. */
void listener_change(struct worker *worker, struct configuration *configuration);
/*
 * Accepts the connections that wait, so that they are served, then closes the listeners. Shared ones stay with the
 * service manager.
 */
void listener_close_all(struct worker *worker);

#endif
