/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors of the maps of the steering programs, and the state shared with these. load.c owns the descriptors.
 * The main thread fills the maps of addresses; bpf/ and include/steering.h say who writes each other map, and each
 * field of the state.
 */
#ifndef ALPNBPF_STEERING_MAPS_H
#define ALPNBPF_STEERING_MAPS_H

#include <stdint.h>

#include "base/descriptor.h"
#include "options/options.h"
#include "steering.h"
#include "steering/plan.h"

/* Written at start-up. */
struct steer_maps {
	struct steer_state *state; /* NULL: no programs are loaded */
	uint32_t *watched_ports;   /* a bit per port whose connections may have to be inspected */
	int addresses;             /* alpnbpf_address */
	int named;                 /* alpnbpf_named */
	int private_listeners;     /* alpnbpf_private */
	int acme_listeners;        /* alpnbpf_acme */
	int https_listeners;       /* alpnbpf_https */
	int own_connections;       /* alpnbpf_own */
	int own_connecting;        /* alpnbpf_connect */
	int arrivals;              /* alpnbpf_arrival, a ring */
	int takeovers;             /* alpnbpf_takeovr, a ring */
	int idle;                  /* alpnbpf_idle, a ring */
	int inject;                /* alpnbpf_inject, a program */
	int being_taken;           /* alpnbpf_taken */
	int silent_listeners;      /* alpnbpf_silent */
	int own_sockets;           /* alpnbpf_ownsock */
};

#define STEER_NO_MAPS                                                                                                  \
	(struct steer_maps)                                                                                            \
	{                                                                                                              \
		.addresses = NO_DESCRIPTOR, .named = NO_DESCRIPTOR, .private_listeners = NO_DESCRIPTOR,                \
		.acme_listeners = NO_DESCRIPTOR, .https_listeners = NO_DESCRIPTOR, .own_connections = NO_DESCRIPTOR,   \
		.own_connecting = NO_DESCRIPTOR, .arrivals = NO_DESCRIPTOR, .takeovers = NO_DESCRIPTOR,                \
		.idle = NO_DESCRIPTOR, .inject = NO_DESCRIPTOR, .being_taken = NO_DESCRIPTOR,                          \
		.silent_listeners = NO_DESCRIPTOR, .own_sockets = NO_DESCRIPTOR                                        \
	}

/*
 * Enters the addresses of `new`, those to listen on and those of the web server, and removes those of `old` (NULL:
 * none). 0 or -errno.
 */
int maps_fill(const struct steer_maps *maps, const struct steer_plan *plan, const struct options *old,
	      const struct options *new);

#endif
