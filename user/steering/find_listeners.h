/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Enters listeners that existed before sock_ops was attached into the maps of the steering programs, by the programs of
 * bpf/listeners.bpf.c, which it owns. Opened at start-up, with capabilities; used then and at a reload, without. Main
 * thread.
 */
#ifndef ALPNBPF_STEERING_FIND_LISTENERS_H
#define ALPNBPF_STEERING_FIND_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "steering.h"
#include "system/listening.h"

struct alpnbpf_listeners;
struct bpf_link;

struct listener_finder {
	struct alpnbpf_listeners *skel; /* NULL: not open, finds nothing */
	struct bpf_link *files;         /* the iterator over open files; NULL: not available in this kernel */
	bool looks_up;                  /* also looks up addresses, for processes that the iterator does not see */
};

/*
 * acme_listeners, https_listeners: descriptors of the maps. 0, or -errno if neither program can be used; then nothing
 * stays open.
 */
int listener_finder_open(struct listener_finder *finder, uint64_t netns_cookie, int acme_listeners,
			 int https_listeners);
/* Enters `count` listeners of one port, at most STEER_LISTENERS, into the map. Returns how many it found. */
unsigned int listener_finder_keep(struct listener_finder *finder, enum steer_kind kind,
				  const struct listening *listeners, unsigned int count);
void listener_finder_close(struct listener_finder *finder);
/* See steer_read_only(). */
int listener_finder_read_only(const struct listener_finder *finder);

#endif
