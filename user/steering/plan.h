/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is steered, and why: as the options ask for it, less what this machine does not allow. Made at start-up; the
 * main thread changes ports at a reload. Workers read what a reload does not change.
 */
#ifndef ALPNBPF_STEERING_PLAN_H
#define ALPNBPF_STEERING_PLAN_H

#include <stdbool.h>

#include "options/options.h"

struct steer_plan {
	/* Written at start-up. */
	unsigned int workers, max_sessions;
	bool in_place;    /* enum steer_rule: there are addresses of this rule … */
	bool bypass;      /* … and of this */
	bool peername;    /* the web server is shown its clients by getpeername */
	bool transparent; /* … by connections from the clients' own addresses */
	/* Written by the main thread, at a reload too. */
	const char *why_always; /* armed always; NULL: while the ACME client listens */
	unsigned int acme_port; /* 0: it is not on this machine */
	unsigned int https_port;
};

struct steer_plan plan_make(const struct options *options, unsigned int workers, unsigned int max_sessions);
/* Is there nothing that takes the steering programs? */
bool plan_is_empty(const struct steer_plan *plan);

/* Why these options mean "armed always"; NULL: they do not. */
const char *plan_why_always(const struct options *options);
/* Why they rule out that ClientHellos are read in passing; NULL: they do not. */
const char *plan_why_no_watch(const struct options *options);
/* Do they ask for a bypass? */
bool plan_wants_bypass(const struct options *options);
/* The ACME client's port on this machine, or 0; and the web server's. */
unsigned int plan_acme_port(const struct options *options);
unsigned int plan_https_port(const struct options *options);

#endif
