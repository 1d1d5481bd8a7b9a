/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Armed or not: struct steer_state says how the kernel knows, and needs none of this to steer, but for listeners that
 * were there before. Main thread.
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
	const struct steer_maps *maps; /* NULL: nothing is steered, every connection goes through alpnbpf */
	struct listener_tracker *tracker;
	struct hello_watch *watch;
	struct ring_buffer *arrivals; /* NULL: armed always */
	/* Written by the main thread. */
	bool was_armed;     /* as last logged */
	uint64_t armed_at;  /* us; since when, while was_armed */
	char armed_by[320]; /* the process that listens there, as far as it was visible then */
};

/* Keeps the references. arming_start() is due unless armed always. */
void arming_open(struct arming *arming, const struct steer_plan *plan, const struct steer_maps *maps,
		 struct listener_tracker *tracker, struct hello_watch *watch);
/* After sock_ops is attached: finds the ACME client's listeners that are there already. 0 or -errno. */
int arming_start(struct arming *arming);
/* The port has changed: forgets the listeners of the old one, and finds those of the new. 0 or -errno. */
int arming_find_anew(struct arming *arming);
void arming_close(struct arming *arming);

/* The descriptor that becomes readable when a process begins to listen on the ACME port, or NO_DESCRIPTOR;
 * arming_look() logs it. */
int arming_fd(const struct arming *arming);
/* Logs what has changed. True when only another look, after a second, would see the next change: a listener that goes.
 */
bool arming_look(struct arming *arming);
/*
 * Are new connections inspected? While the ACME client listens, or always: as the options or this machine demand, and
 * where nothing is steered. (The programs decide for each packet: is_armed() in bpf/armed.bpf.h.)
 */
bool arming_is_armed(const struct arming *arming);
/* Why; NULL: it is not armed. */
const char *arming_reason(const struct arming *arming);

#endif
