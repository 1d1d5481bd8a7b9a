/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steering programs: loads them, and owns them, their maps and their links. Nothing is pinned, so the kernel
 * removes everything when this process ends. Main thread.
 */
#ifndef ALPNBPF_STEERING_LOAD_H
#define ALPNBPF_STEERING_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"
#include "steering/maps.h"
#include "steering/plan.h"
#include "steering/watch.h"

struct alpnbpf_steer;
struct bpf_link;
struct bpf_program;

/* Written by the main thread. */
struct steer_programs {
	struct alpnbpf_steer *skel; /* NULL: not loaded */
	uint64_t netns_cookie;      /* of this network namespace */
	struct bpf_link *lookup;    /* alpnbpf_steer; NULL: not attached */
	struct bpf_link *events;    /* alpnbpf_events */
	struct bpf_link *peer4, *peer6;
};

/*
 * Loads the programs that the plan needs, with those of the watch if with_watch, and fills *maps. 0 or -errno;
 * programs_unload() is due in either case.
 */
int programs_load(struct steer_programs *programs, struct steer_maps *maps, const struct steer_plan *plan,
		  bool with_watch);
/* Detaches and unloads everything. */
void programs_unload(struct steer_programs *programs);

/* Attaches sk_lookup: new connections are steered from now on. 0, or -errno and why. */
int programs_attach_lookup(struct steer_programs *programs, struct sentence *why);
void programs_detach_lookup(struct steer_programs *programs);
/* Attach sock_ops, or getpeername for both families, to the open directory of a cgroup. 0 or -errno. */
int programs_attach_events(struct steer_programs *programs, int cgroup);
void programs_detach_events(struct steer_programs *programs);
int programs_attach_peername(struct steer_programs *programs, int cgroup);
/* The programs that watch.c attaches and detaches. */
void programs_of_watch(const struct steer_programs *programs, const struct bpf_program *hooks[WATCH_HOOKS]);
/* Connections of a private listener that are not accepted yet (alpnbpf_pending). */
unsigned int programs_count_pending(const struct steer_programs *programs, unsigned int index);

#endif
