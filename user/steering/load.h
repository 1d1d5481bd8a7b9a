/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steering programs: loads them, and owns them, their maps and their links. Nothing is pinned: when this process
 * dies, all of it goes. Start-up, and the main thread.
 */
#ifndef ALPNBPF_STEERING_LOAD_H
#define ALPNBPF_STEERING_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sentence.h"
#include "steering/maps.h"
#include "steering/plan.h"

struct alpnbpf_steer;
struct bpf_link;
struct bpf_program;

/* Written by the main thread. */
struct steer_programs {
	struct alpnbpf_steer *skel; /* NULL: none are loaded */
	uint64_t netns_cookie;      /* of the namespace that is steered */
	struct bpf_link *lookup;    /* alpnbpf_steer; NULL: not attached */
	struct bpf_link *events;    /* alpnbpf_events */
	struct bpf_link *peer4, *peer6;
};

/*
 * Those that the plan needs, and alpnbpf_watch if with_watch; fills *maps. 0 or -errno; programs_unload() is due in
 * either case.
 */
int programs_load(struct steer_programs *programs, struct steer_maps *maps, const struct steer_plan *plan,
		  bool with_watch);
/* What is loaded, and what is attached of it. */
void programs_unload(struct steer_programs *programs);

/* From now on new connections are steered. 0, or -errno and why. */
int programs_attach_lookup(struct steer_programs *programs, struct sentence *why);
void programs_detach_lookup(struct steer_programs *programs);
/* To the cgroup of which `cgroup` is a descriptor: sock_ops; getpeername, both families or none. 0 or -errno. */
int programs_attach_events(struct steer_programs *programs, int cgroup);
void programs_detach_events(struct steer_programs *programs);
int programs_attach_peername(struct steer_programs *programs, int cgroup);
/* alpnbpf_watch, for the one who attaches and detaches it. */
const struct bpf_program *programs_watch(const struct steer_programs *programs);
/* Connections that this private listener has begun and nobody has accepted (alpnbpf_pending). */
unsigned int programs_count_pending(const struct steer_programs *programs, unsigned int index);

#endif
