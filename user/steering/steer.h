/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering as user space sees it: loads bpf/steer.bpf.c, decides what of it is used, finds the cgroup, knows whether we
 * are armed. Nothing is pinned: when this process dies, all of it goes, and new connections are the web server's.
 * Start-up and main thread, but for the functions for one connection, which any worker may call: maps synchronise them.
 */
#ifndef ALPNBPF_STEERING_STEER_H
#define ALPNBPF_STEERING_STEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "steering.h"
#include "base/sentence.h"
#include "options/options.h"
#include "steering/find_listeners.h"

struct alpnbpf_steer;
struct bpf_link;
struct ring_buffer;

enum { STEER_LINKS_MAX = 4 };

#define STEER_ENDED_AT_ONCE 64
#define STEER_ENDED_MAX     (4096 + STEER_ENDED_AT_ONCE) /* of each worker: as many as a listener's queue may hold */

/* A connection of ours that the programs know. */
struct steer_entry {
	struct steer_connection key;
	uint64_t cookie; /* 0: none */
};

struct steer_ended;

struct steer {
	struct alpnbpf_steer *skel; /* NULL: nothing is steered */
	struct steer_state *state;  /* shared with the programs, as is … */
	uint32_t *watched_ports;    /* … a bit for each port whose connections may have to be looked at */
	uint64_t netns_cookie;
	int pending; /* descriptors: the program that counts, and maps */
	int listened, acme_listeners, https_listeners, https_addresses, ours, connecting;
	struct bpf_link *lookup, *links[STEER_LINKS_MAX];
	bool watches;                                  /* hellos are read as they pass, while armed, … */
	bool watch_ended;                              /* … but not any more */
	struct bpf_link *watch;                        /* … by this program; NULL: not now. Main thread */
	int cgroup;                                    /* … at this cgroup; -1: none */
	int raw[STEER_FAMILIES], pits[STEER_FAMILIES]; /* its sockets; -1: none. See hello_watch.c */
	int takeovers, taken, own_sockets;             /* descriptors of its ring and its maps */
	uint64_t untakable;                            /* as last logged */
	const char *why_not_watched;                   /* all are steered while armed; NULL: they are not */
	char cannot_watch[256];                        /* … and could be watched but for this; "": as asked for */
	unsigned int link_count;
	struct ring_buffer *arrivals;
	struct listener_finder finder;
	struct steer_ended *ended; /* of each worker; see steer_forget() */
	pthread_rwlock_t *reuse;   /* held for writing while entries are removed, for reading while one is made */
	bool in_place, bypass;     /* which of the two rules there are */
	bool arms;                 /* by the ACME port; false: armed always */
	bool tracks;               /* connections to the web server are entered in `alpnbpf_own` */
	bool by_cgroup;            /* … by sock_ops; false: bound before they connect */
	bool peername, transparent;
	bool was_armed;           /* as last logged */
	uint64_t armed_at;        /* us; since when, while was_armed */
	char armed_by[320];       /* who listens there, as far as it could be seen then */
	const char *armed_always; /* why; NULL: it is not */
	unsigned int acme_port, https_port, workers;
};

/*
 * Decide, load and attach all but sk_lookup, and find the listeners that are there. 0 also where there is nothing to
 * steer. -errno and why when the options cannot be met: in-place mode or an address asked for by
 * name; a bypass that is not possible is only logged.
 */
int steer_open(struct steer *steer, const struct options *options, unsigned int workers, unsigned int max_sessions,
	       struct sentence *why);
/* A worker's private listener of a family. 0 or -errno. */
int steer_set_private(struct steer *steer, unsigned int worker, enum steer_family family, int fd);
/* From now on new connections are steered. 0, or -errno and why. */
int steer_start(struct steer *steer, struct sentence *why);
/* No new ones from now on. */
void steer_stop(struct steer *steer);
/* Connections that the private listeners have begun and no worker has accepted yet. */
unsigned int steer_pending(struct steer *steer);
void steer_close(struct steer *steer);

enum steer_family steer_family_of(const struct address *address);
/* IPv4 becomes v4-mapped. */
struct steer_endpoint steer_endpoint_from(const struct address *address);
/*
 * Around connect() of `fd` to the web server for `client`: so that it is not steered back to us, and that the server
 * can be shown the client. begin() may bind the socket. 0 or -errno. After connect(), whatever it returned, end() has
 * to follow; it is -errno when the programs do not know the connection: close it, it may be on its way back to us.
 */
int steer_connect_begin(struct steer *steer, int fd, const struct address *client, const struct address *to,
			struct steer_entry *entry);
int steer_connect_end(struct steer *steer, struct steer_entry *entry);
/*
 * Before our end is closed; worker: the caller's. The entry stays until many more connections have ended, since the
 * server may not have accepted this one yet.
 */
void steer_forget(struct steer *steer, unsigned int worker, struct steer_entry *entry);
/* The memory steer_forget() needs, for connections of so many workers. 0 or -errno. */
int steer_ended_open(struct steer *steer, unsigned int workers);
void steer_ended_close(struct steer *steer);

/*
 * The addresses that are steered, and those of the web server: those of `new`, and no more those of `old` (NULL: none).
 * 0 or -errno.
 */
int steer_fill_maps(struct steer *steer, const struct options *old, const struct options *new);
/* Every listener of the web server is bypassed to, or there is no bypass. */
bool steer_bypasses_all(const struct steer *steer);
#define STEER_MODE_MAX 640
/* What is done with new connections and why, as of now. Returns out. */
const char *steer_mode(const struct steer *steer, char *out, size_t size);

/* Why these options mean "armed always"; NULL: they do not. */
const char *steer_why_always(const struct options *options);
/* Do these options ask for a bypass? */
bool steer_wants_bypass(const struct options *options);

#endif
