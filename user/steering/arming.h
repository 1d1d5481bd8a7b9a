/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether alpnbpf is armed. The BPF programs decide that themselves (see struct steer_state); this finds listeners that
 * existed before, and logs changes. Main thread.
 */
#ifndef ALPNBPF_STEERING_ARMING_H
#define ALPNBPF_STEERING_ARMING_H

#include <stdbool.h>
#include <stdint.h>

#include "steering/listeners.h"
#include "steering/maps.h"
#include "steering/plan.h"
#include "steering/watch.h"

struct ring_buffer;

struct arming {
	/* Written at start-up. */
	const struct steer_plan *plan;
	const struct steer_maps *maps; /* NULL: no programs, every connection goes through alpnbpf */
	struct listener_tracker *tracker;
	struct hello_watch *watch;
	struct ring_buffer *arrivals; /* NULL: always armed */
	/* Written by the main thread. */
	bool was_armed;           /* as last seen */
	uint64_t armed_at;        /* us; valid while was_armed */
	char armed_by[320];       /* the process that listens there, if it was visible */
	struct address listener;  /* that armed it; without an address (len 0) if that was not told */
	bool is_tracked;          /* that listener */
	bool is_logged;           /* the log says that it is armed */
	unsigned long not_logged; /* times armed since the last line that says so */
	uint64_t rest_until;      /* us; until then, arrivals wait in the ring */
	uint64_t untracked_next;  /* us; when to look for untracked listeners again */
};

/* Keeps the references. arming_start() is due unless always armed. */
void arming_open(struct arming *arming, const struct steer_plan *plan, const struct steer_maps *maps,
		 struct listener_tracker *tracker, struct hello_watch *watch);
/* After sock_ops is attached: finds listeners of the ACME client that already exist. 0 or -errno. */
int arming_start(struct arming *arming);
/* The port has changed: forgets the listeners of the old one, and finds those of the new. 0 or -errno. */
int arming_find_anew(struct arming *arming);
void arming_close(struct arming *arming);
/* In a process forked from the one that started it: what the programs tell is that one's. */
void arming_let_go(struct arming *arming);

/* Readable when a process begins to listen on the ACME port; NO_DESCRIPTOR while arming_look() need not know. */
int arming_fd(const struct arming *arming);
/*
 * Follows and logs changes, each at once as long as they are few. Returns when it must be called again, in us: soon
 * after an arrival, and while armed after a second, because no event shows that a listener has gone. UINT64_MAX: on
 * events only.
 */
uint64_t arming_look(struct arming *arming);
/*
 * Are new connections inspected? Either while the ACME client listens, or always: if the options or this machine
 * require it, or if no programs are loaded. (The programs decide for each packet: is_armed() in bpf/armed.bpf.h.)
 */
bool arming_is_armed(const struct arming *arming);
/* Why it is armed; NULL if it is not. */
const char *arming_reason(const struct arming *arming);

#endif
