/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hello watch: ClientHellos are read while they pass to the web server (bpf/watch.bpf.h), and a connection that is
 * not for it is taken over (engine/takeovers.h, on one worker). Set up, attached and ended by the main thread.
 */
#ifndef ALPNBPF_STEERING_WATCH_H
#define ALPNBPF_STEERING_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"
#include "options/options.h"
#include "steering.h"
#include "steering/maps.h"

struct bpf_link;
struct bpf_program;

struct hello_watch {
	/* Written at start-up. */
	const char *why_not;        /* new connections are steered while armed; NULL: hellos are read in passing */
	char cannot[256];           /* … and could be but for this; "": as asked for */
	bool is_ready;              /* all below is there */
	int cgroup;                 /* where it is attached */
	int raw[STEER_FAMILIES];    /* sockets for resets, which the worker sends by */
	int silent[STEER_FAMILIES]; /* listeners that drop all */
	const struct steer_maps *maps;
	const struct bpf_program *program;
	/* Written by the main thread. */
	struct bpf_link *link; /* NULL: not attached just now */
	bool has_ended;        /* … and never again */
	uint64_t untakable;    /* as last logged */
};

#define HELLO_WATCH_CLOSED                                                                                             \
	(struct hello_watch)                                                                                           \
	{                                                                                                              \
		.cgroup = NO_DESCRIPTOR, .raw = {NO_DESCRIPTOR, NO_DESCRIPTOR}, .silent = {                            \
			NO_DESCRIPTOR,                                                                                 \
			NO_DESCRIPTOR                                                                                  \
		}                                                                                                      \
	}

/*
 * After the steering programs are loaded: the sockets, and a proof that `program` can be attached to the cgroup of
 * which `cgroup` is a descriptor. 0, or -errno and why, and then nothing is left of it.
 */
int hello_watch_open(struct hello_watch *watch, const struct steer_maps *maps, const struct bpf_program *program,
		     const struct options *options, int cgroup, struct sentence *why);
/* It was asked for, or could have been had, and cannot: that is logged. */
void hello_watch_do_without(struct hello_watch *watch, const char *why);
/*
 * The program is attached while armed, so that packets cost nothing else. A connection that comes before it is, after
 * the ACME client has begun to listen, is steered. Whenever `armed` may have changed.
 */
void hello_watch_follow(struct hello_watch *watch, bool armed);
/* No more, whatever follows; connections that are being taken over still come. */
void hello_watch_stop(struct hello_watch *watch);
void hello_watch_close(struct hello_watch *watch);
/* This listener, and what it accepts, is ours: nothing is taken over from it. 0 or -errno. Main thread. */
int hello_watch_own(const struct hello_watch *watch, int listener);
/* Logs what could not be taken over since the last look. */
void hello_watch_look(struct hello_watch *watch);

/* The worker's side: the entry of a takeover that is over goes; packets of its connection are let through again. */
void hello_watch_release(const struct hello_watch *watch, const struct steer_connection *ends);

#endif
