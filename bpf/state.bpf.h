/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What all programs of steer.bpf.c share: constants set before they are loaded, and the state (include/steering.h says
 * who writes each field).
 */
#ifndef ALPNBPF_STATE_BPF_H
#define ALPNBPF_STATE_BPF_H

#include "vmlinux.h"
#include "steering.h"

/* Set between open and load. */
const volatile __u64 netns_cookie = 0;
const volatile __u8 with_bypass = 0;
const volatile __u8 with_watch = 0; /* the watch is loaded; `state.watching` says whether it reads hellos now */

struct steer_state state = {};

#endif
