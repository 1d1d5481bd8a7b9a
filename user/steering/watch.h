/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watch: reads ClientHellos in passing, on their way to the web server (bpf/watch.bpf.h). A connection that is not
 * for the web server is taken over (engine/takeovers.h, on one worker). The main thread sets it up and ends it, and has
 * the repair helper attach it.
 */
#ifndef ALPNBPF_STEERING_WATCH_H
#define ALPNBPF_STEERING_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"
#include "options/options.h"
#include "steering.h"
#include "steering/maps.h"
#include "steering/removal.h"
#include "steering/repair_helper.h"

struct bpf_program;

enum watch_hooks { HOOKS_DETACHED, HOOKS_ASKED_FOR, HOOKS_ATTACHED };

struct hello_watch {
	/* Written at start-up. */
	const char *why_not;    /* why it is not used, and new connections are steered while armed; NULL: it is used */
	char cannot[256];       /* why it failed, though it was wanted; "": it was not wanted, or works */
	bool is_ready;          /* takeovers were possible at start-up */
	struct removal removal; /* of the web server's sockets: what was found out about it; the helper removes */
	int silent[STEER_FAMILIES]; /* listeners that drop every packet */
	const struct steer_maps *maps;
	/* Written by the main thread; helper.worker is the worker's that takes over. */
	struct repair_helper helper;
	enum watch_hooks hooks;   /* the programs, as far as the helper has answered */
	bool is_lost;             /* the helper has ended: nothing can be taken over any more */
	bool has_ended;           /* must not be attached again */
	uint64_t armed_at;        /* us; when it was last seen to be armed */
	bool steers;              /* until disarmed, hellos are not read in passing, because takeovers fail */
	uint64_t untakable, late; /* the counts as last logged */
	bool speaks_first;        /* logged */
};

#define HELLO_WATCH_CLOSED                                                                                             \
	(struct hello_watch)                                                                                           \
	{                                                                                                              \
		.removal = REMOVAL_CLOSED, .helper = REPAIR_HELPER_CLOSED, .silent = { NO_DESCRIPTOR, NO_DESCRIPTOR }  \
	}

/*
 * After the steering programs are loaded, before there is a second thread: opens the sockets, starts the repair helper
 * with them, and checks that it can attach `programs` to the cgroup, whose directory is open as `cgroup`. 0, or -errno
 * and why; then nothing stays open.
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
/* Can connections be taken over? */
bool hello_watch_is_possible(const struct hello_watch *watch);
/* Readable when the helper has something to say, or has ended; then call hello_watch_look(). NO_DESCRIPTOR: none. */
int hello_watch_fd(const struct hello_watch *watch);
/* Allows takeovers on the ports of new options. Main thread, at a reload. */
void hello_watch_allow(struct hello_watch *watch, const struct options *options);
/* Takeovers are possible, and the web server's sockets can be removed without a trace (removal.h). */
bool hello_watch_leaves_no_trace(const struct hello_watch *watch);
/* Ends the watch for good; takeovers that have begun continue. */
void hello_watch_stop(struct hello_watch *watch);
void hello_watch_close(struct hello_watch *watch);
/* Marks a listener as ours: its connections are never taken over. 0 or -errno. Main thread. */
int hello_watch_own(const struct hello_watch *watch, int listener);
/* Hears what the helper says; logs connections that could not be taken over since the last call, or late. */
void hello_watch_look(struct hello_watch *watch);

/*
 * On the worker that takes over. Release: removes the entry of a takeover that has ended, so that packets are let
 * through. Leave: the connection stays the web server's, whatever its hello says; the entry must be released later, in
 * case the client does not send again. Reset: ends the connection and the entry. False if the helper is too late to be
 * told; then try again. Once it has ended, the main thread removes all entries.
 */
bool hello_watch_release(struct hello_watch *watch, const struct repair_entry *entry);
bool hello_watch_leave(struct hello_watch *watch, const struct repair_entry *entry);
bool hello_watch_reset_client(struct hello_watch *watch, const struct repair_entry *entry);
/* Takeovers fail, so new connections are steered for the rest of this armed time. Main thread. */
void hello_watch_steer(struct hello_watch *watch);

#endif
