/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which capabilities this process has, and the one wording for those that it does not have. Owns nothing: reads
 * /proc/self/status in each call. Any thread, each of which has capabilities of its own.
 */
#ifndef ALPNBPF_SYSTEM_CAPABILITIES_H
#define ALPNBPF_SYSTEM_CAPABILITIES_H

#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>

#define CAPABILITY(number) (1ULL << (number))
/* What loading and attaching BPF programs takes (docs/KERNEL.md 9). */
#define CAPABILITIES_BPF (CAPABILITY(CAP_BPF) | CAPABILITY(CAP_NET_ADMIN) | CAPABILITY(CAP_PERFMON))

#define CAPABILITIES_TEXT_MAX 160 /* what either of these writes */

/* "missing CAP_BPF, CAP_NET_ADMIN": those of `wanted` that this process does not have. NULL when it has all. */
const char *capabilities_missing(uint64_t wanted, char *out, size_t size);

/*
 * What `error` (-errno) of a call that takes the capabilities `wanted` means: strerror(), and behind it those that are
 * missing if the kernel refused: "Operation not permitted (missing CAP_NET_RAW)". Returns out.
 */
const char *capabilities_strerror(int error, uint64_t wanted, char *out, size_t size);

#endif
