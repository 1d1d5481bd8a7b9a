/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What all programs of steer.bpf.c share: what is fixed before they are loaded, and what changes while they run
 * (include/steering.h says who writes what).
 */
#ifndef ALPNBPF_STATE_BPF_H
#define ALPNBPF_STATE_BPF_H

#include "vmlinux.h"
#include "steering.h"

/* Set between open and load. */
const volatile __u64 netns_cookie = 0;
const volatile __u8 with_bypass = 0;
const volatile __u8 with_watch = 0; /* hellos may be read as they pass; `state.watching` says whether they are */

struct steer_state state = {};

#endif
