/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is steered, and why: what the options ask for, without what this machine does not allow. Made at start-up; the
 * main thread changes ports at a reload. Workers read only fields that a reload does not change.
 */
#ifndef ALPNBPF_STEERING_PLAN_H
#define ALPNBPF_STEERING_PLAN_H

#include <stdbool.h>

#include "options/options.h"

struct steer_plan {
	/* Written at start-up. */
	unsigned int workers, max_sessions;
	bool in_place;    /* there are addresses served in place */
	bool bypass;      /* there are addresses with a bypass */
	bool peername;    /* getpeername() shows the web server its clients */
	bool transparent; /* connections come from the clients' own addresses */
	/* Written by the main thread, also at a reload. */
	const char *why_always; /* why it is always armed; NULL: armed while the ACME client listens */
	unsigned int acme_port; /* 0: not on this machine */
	unsigned int https_port;
};

struct steer_plan plan_make(const struct options *options, unsigned int workers, unsigned int max_sessions);
/* Does nothing need the steering programs? */
bool plan_is_empty(const struct steer_plan *plan);

/* Why these options mean "always armed"; NULL if they do not. */
const char *plan_why_always(const struct options *options);
/* Why they rule out the watch, which reads ClientHellos in passing; NULL if they do not. */
const char *plan_why_no_watch(const struct options *options);
/* Do they ask for a bypass? */
bool plan_wants_bypass(const struct options *options);
/*
 * Is --acme a port alone? Then the ACME client may listen at any address of this machine: if not at the loopback's,
 * connections are made to where it listens.
 */
bool plan_acme_anywhere(const struct options *options);
/* The ACME client's port on this machine, or 0; the web server's port. */
unsigned int plan_acme_port(const struct options *options);
unsigned int plan_https_port(const struct options *options);

#endif
