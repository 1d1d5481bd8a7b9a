/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the repair helper does when it is asked (repair_protocol.h), and what it refuses. In the process of the helper;
 * tests call it too.
 */
#ifndef ALPNBPF_STEERING_REPAIR_DUTY_H
#define ALPNBPF_STEERING_REPAIR_DUTY_H

#include <stddef.h>
#include <stdint.h>

#include "steering/inject.h"
#include "steering/removal.h"
#include "steering/repair_protocol.h"

/* The programs that are attached while armed, in the order in which they are attached. */
enum { WATCH_HUSH, WATCH_LOOK, WATCH_HOOKS };

/* The descriptors are the caller's; `links` and `ports` change. */
struct repair_duty {
	struct removal removal;
	struct injector injector;
	int taken;                 /* alpnbpf_taken */
	struct steer_state *state; /* shared with the programs */
	int cgroup;                /* to which the programs are attached */
	int programs[WATCH_HOOKS];
	int links[WATCH_HOOKS];     /* NO_DESCRIPTOR: not attached */
	uint32_t ports[65536 / 32]; /* a bit per port whose connections may be taken over */
};

void repair_duty_allow(struct repair_duty *duty, unsigned int port);

/*
 * Does what the worker asks, with the `length` bytes that came behind the request. True if there is an answer; *passed:
 * a descriptor to send with it and to close then, or NO_DESCRIPTOR.
 */
bool repair_duty_worker(struct repair_duty *duty, const struct repair_request *request, const uint8_t *bytes,
			size_t length, struct repair_answer *answer, int *passed);
/* The same for the main thread. */
bool repair_duty_main(struct repair_duty *duty, const struct repair_request *request, struct repair_answer *answer);

/*
 * Tries again to remove entries that could not be removed, because the lock of their bucket was busy: until then, their
 * clients get no answer. Returns when to call it again, in ms; -1: none is left.
 */
int repair_duty_again(const struct repair_duty *duty);

/* Gives a held connection to the web server. 0 or -errno. */
int repair_duty_release(const struct repair_duty *duty, const struct steer_idle *idle);

#endif
