/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses of this machine, from its table of local routes (ip route show table local): those of its interfaces,
 * and routes of type `local` that somebody added there. Not those of other tables, such as the one that TPROXY uses.
 * The main thread keeps the list, in memory that workers read: they need no system call, and have no netlink.
 */
#ifndef ALPNBPF_SYSTEM_LOCAL_ADDRESSES_H
#define ALPNBPF_SYSTEM_LOCAL_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/published.h"
#include "base/sentence.h"

#define LOCAL_PREFIXES_MAX 16384

/* Of an IPv6 address, or an IPv4 address as ::ffff:a.b.c.d. In host byte order. */
struct local_prefix {
	uint64_t high, low, bits;
};

/* In shared memory, zero at first; pages that nobody uses cost nothing. Written by the main thread. */
struct local_addresses {
	struct published published;
	struct local_list {
		int64_t error; /* 0, or -errno: they are not known, or not all */
		uint64_t count;
		struct local_prefix prefixes[LOCAL_PREFIXES_MAX];
	} lists[2];
};

/* What keeps it up to date. */
struct local_watch {
	struct local_addresses *addresses; /* NULL: closed */
	struct local_list *found;          /* the list that is being read; owned */
	int events, routes;                /* netlink sockets: that something has changed, and the list */
	uint64_t due, read_at; /* us; when to read it again, UINT64_MAX: on events only; when it was read last */
	bool failed;           /* logged */
};

#define LOCAL_WATCH_CLOSED ((struct local_watch){.events = -1, .routes = -1, .due = UINT64_MAX})

/* Reads the list, and follows it from now on. 0, or -errno and why. Main thread. */
int local_addresses_open(struct local_watch *watch, struct local_addresses *addresses, struct sentence *why);
void local_addresses_close(struct local_watch *watch);
/* Readable when local_addresses_follow() has something to do; or NO_DESCRIPTOR. */
int local_addresses_fd(const struct local_watch *watch);
/* When to call it at the latest, in us; UINT64_MAX: on events only. */
uint64_t local_addresses_next(const struct local_watch *watch);
/* Reads the list again if it may have changed. Main thread. */
void local_addresses_follow(struct local_watch *watch);

/* Is it an address of this machine? 1 or 0; -errno: that is not known. Any thread. */
int local_addresses_has(const struct local_addresses *addresses, const struct address *address);

#endif
