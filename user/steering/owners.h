/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose listeners are the ACME client's, and whose the web server's: the same decision as is_right_owner() in
 * bpf/arrivals.bpf.h, for listeners that existed before. Main thread.
 */
#ifndef ALPNBPF_STEERING_OWNERS_H
#define ALPNBPF_STEERING_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "options/options.h"
#include "steering.h"
#include "steering/plan.h"

#define STRANGERS_NAMED 16 /* users that are warned of; more are only counted */

/* At start-up, before owners_fill(): the user that this process becomes once it is set up. */
void owners_run_as(uint32_t uid);

/* The users of other listeners that were warned of. */
struct strangers {
	unsigned int count;
	uint32_t uids[STRANGERS_NAMED];
	enum route routes[STRANGERS_NAMED];
};

/*
 * Sets the owners of both kinds. The first owner that was seen is forgotten if the port or the choice differ from those
 * of `old` (NULL: at start-up).
 */
void owners_fill(struct steer_state *state, const struct options *old, const struct options *new);
/* The owner of the first listener of the kind counts from now on: call it after existing ones were looked at. */
void owners_learn(struct steer_state *state, enum steer_kind kind);
/* Is it the right owner? The first one that is becomes the first owner. */
bool owners_accept(struct steer_state *state, enum steer_kind kind, uint32_t uid);
/* Was it warned of, or are there too many to warn of? */
bool strangers_is_known(const struct strangers *strangers, enum route route, uint32_t uid);
/* Logs a listener of the wrong owner: once for each user. */
void strangers_note(struct strangers *strangers, enum route route, const struct address *at, uint32_t uid);

/* For connections that alpnbpf makes itself. */
struct backend_owners {
	/* Does the owner of the route's listener matter? */
	bool asked[ROUTES];
	/* The ACME client may listen at any address of this machine. */
	bool acme_anywhere;
	/* Whose it may be. `first` is not known yet, unless a user was named. */
	struct steer_owners of[ROUTES];
};

struct backend_owners owners_of_backends(const struct options *options);
/* Not on another machine, of a unix socket, or of a port that only privileged processes can take. */
bool owners_are_asked(const struct options *options, enum route route);
struct steer_owners owners_of_route(const struct options *options, enum route route);
/* Is it one of them, apart from the first? uid: in the initial user namespace. */
bool owners_has_named(const struct steer_owners *owners, uint32_t uid);
bool owners_same_choice(const struct options *old, const struct options *new, enum route route);
/* "uid 0 (root), uid 33 (www-data), who listened first". Returns out. */
#define OWNERS_TEXT_MAX 320
const char *owners_format(const struct steer_owners *owners, enum route route, char *out, size_t size);

#endif
