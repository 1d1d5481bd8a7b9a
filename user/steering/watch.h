/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watch: reads ClientHellos in passing, on their way to the web server (bpf/watch.bpf.h). A connection that is not
 * for the web server is taken over (engine/takeovers.h, on one worker). The main thread sets it up, attaches and ends
 * it.
 */
#ifndef ALPNBPF_STEERING_WATCH_H
#define ALPNBPF_STEERING_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"
#include "options/options.h"
#include "steering.h"
#include "steering/held.h"
#include "steering/maps.h"
#include "steering/removal.h"

struct bpf_link;
struct bpf_program;

/* The programs that are attached while armed, in the order in which they are attached. */
enum { WATCH_HUSH, WATCH_LOOK, WATCH_HOOKS };

struct hello_watch {
	/* Written at start-up. */
	const char *why_not;    /* why it is not used, and new connections are steered while armed; NULL: it is used */
	char cannot[256];       /* why it failed, though it was wanted; "": it was not wanted, or works */
	bool is_ready;          /* everything below is open */
	int cgroup;             /* to which it is attached */
	struct removal removal; /* of the web server's sockets; for the worker */
	int silent[STEER_FAMILIES]; /* listeners that drop every packet */
	struct held_connections held;
	const struct steer_maps *maps;
	const struct bpf_program *programs[WATCH_HOOKS];
	/* Written by the main thread. */
	struct bpf_link *links[WATCH_HOOKS]; /* NULL: not attached now */
	bool has_ended;                      /* must not be attached again */
	uint64_t armed_at;                   /* us; when it was last seen to be armed */
	bool steers;              /* until disarmed, hellos are not read in passing, because takeovers fail */
	uint64_t untakable, late; /* the counts as last logged */
	bool speaks_first;        /* logged */
};

#define HELLO_WATCH_CLOSED                                                                                             \
	(struct hello_watch)                                                                                           \
	{                                                                                                              \
		.cgroup = NO_DESCRIPTOR, .removal = REMOVAL_CLOSED, .held = HELD_CLOSED, .silent = {                   \
			NO_DESCRIPTOR,                                                                                 \
			NO_DESCRIPTOR                                                                                  \
		}                                                                                                      \
	}

/*
 * After the steering programs are loaded: opens the sockets, and checks that `programs` can be attached to the cgroup,
 * whose directory is open as `cgroup`. 0, or -errno and why; then nothing stays open.
 */
int hello_watch_open(struct hello_watch *watch, const struct steer_maps *maps,
		     const struct bpf_program *const programs[WATCH_HOOKS], const struct options *options, int cgroup,
		     struct sentence *why);
/* Logs that the watch was wanted but is not possible, and continues without it. */
void hello_watch_do_without(struct hello_watch *watch, const char *why);
/*
 * Call it whenever `armed` may have changed, and at hello_watch_next(). Attaches the programs while armed, and for
 * another second: attaching costs all CPUs more than reading hellos does, and listeners may come and go. A connection
 * that comes after the ACME client began to listen, but before the programs are attached, is steered.
 */
void hello_watch_follow(struct hello_watch *watch, bool armed);
/* Are its programs attached? Main thread. */
bool hello_watch_is_attached(const struct hello_watch *watch);
/* Not armed any more: when it is due to be detached, in us. UINT64_MAX: it is not attached. */
uint64_t hello_watch_next(const struct hello_watch *watch);
/* Takeovers are possible, and the web server's sockets can be removed without a trace (removal.h). */
bool hello_watch_leaves_no_trace(const struct hello_watch *watch);
/* Ends the watch for good; takeovers that have begun continue. */
void hello_watch_stop(struct hello_watch *watch);
void hello_watch_close(struct hello_watch *watch);
/* Marks a listener as ours: its connections are never taken over. 0 or -errno. Main thread. */
int hello_watch_own(const struct hello_watch *watch, int listener);
/* Logs connections that could not be taken over since the last call, or late. */
void hello_watch_look(struct hello_watch *watch);

/*
 * On the worker that takes over. Release: removes the entry of a takeover that has ended, so that packets are let
 * through. Leave: the connection stays the web server's, whatever its hello says; the entry must be released later, in
 * case the client does not send again.
 */
void hello_watch_release(const struct hello_watch *watch, const struct steer_connection *ends);
void hello_watch_leave(const struct hello_watch *watch, const struct steer_connection *ends);
/* Takeovers fail, so new connections are steered for the rest of this armed time. Main thread. */
void hello_watch_steer(struct hello_watch *watch);

#endif
