/* SPDX-License-Identifier: BSD-2-Clause */
/* The skeleton of bpf/steer.bpf.c; the code that bpftool generates is not clean under -Wconversion. */
#ifndef ALPNBPF_STEERING_SKELETON_H
#define ALPNBPF_STEERING_SKELETON_H

#include <bpf/libbpf.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "steer.skel.h"
#pragma GCC diagnostic pop

#endif
