/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ClientHellos are read while they pass to the web server (bpf/watch.bpf.h), and what is not for it is taken
 * over. The main thread sets up and ends; one worker takes over.
 */
#ifndef ALPNBPF_STEERING_WATCH_H
#define ALPNBPF_STEERING_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "steering/steer.h"

/* Do the options allow it? Else the reason. */
const char *hello_watch_why_not(const struct options *options);

/*
 * After the steering programs are loaded: raw sockets, pits, and a proof that the program can be attached to the cgroup
 * `cgroup`. 0, or -errno and why, and then nothing is left of it.
 */
int hello_watch_open(struct steer *steer, const struct options *options, int cgroup, struct sentence *why);
/*
 * The program is attached while armed, so that packets cost nothing else. Who connects before it is, after the ACME
 * client has begun to listen, is steered. Main thread, whenever `armed` may have changed.
 */
void hello_watch_follow(struct steer *steer, bool armed);
/* No more, whatever follows; what is on its way to us comes. */
void hello_watch_stop(struct steer *steer);
void hello_watch_close(struct steer *steer);
/* This listener, and what it accepts, is ours: nothing is taken over from it. 0 or -errno. */
int hello_watch_own(const struct steer *steer, int listener);
/* Logs what could not be taken over since the last look. */
void hello_watch_look(struct steer *steer);
/* Connections so far that should have been taken over and could not be. */
uint64_t hello_watch_untakable(const struct steer *steer);

#endif
