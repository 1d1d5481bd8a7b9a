/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts listeners that were there before sock_ops was attached into the maps of the steering programs, by the programs
 * of bpf/listeners.bpf.c, which it owns. Opened at start-up, while there are capabilities; used then and at a reload,
 * when there are none. Main thread only.
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
	struct alpnbpf_listeners *skel; /* NULL: not open, nothing is found */
	struct bpf_link *files;         /* the iterator over open files; NULL: this kernel has none for us */
	bool looks_up;                  /* addresses too: finds listeners of processes that the iterator does not see */
};

/*
 * acme_listeners, https_listeners: descriptors of the maps. 0, or -errno when neither way can be had, and then nothing
 * is left of it.
 */
int listener_finder_open(struct listener_finder *finder, uint64_t netns_cookie, int acme_listeners,
			 int https_listeners);
/* Of `count` listeners of one port, at most STEER_LISTENERS, all are to be kept. Returns how many are. */
unsigned int listener_finder_keep(struct listener_finder *finder, enum steer_kind kind,
				  const struct listening *listeners, unsigned int count);
void listener_finder_close(struct listener_finder *finder);

#endif
