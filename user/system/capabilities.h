/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which capabilities this process has, and the one wording for missing ones. Owns nothing: each call reads
 * /proc/self/status. Any thread; each has capabilities of its own.
 */
#ifndef ALPNBPF_SYSTEM_CAPABILITIES_H
#define ALPNBPF_SYSTEM_CAPABILITIES_H

#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>

#define CAPABILITY(number) (1ULL << (number))
/* What loading and attaching BPF programs needs (docs/KERNEL.md 9). */
#define CAPABILITIES_BPF (CAPABILITY(CAP_BPF) | CAPABILITY(CAP_NET_ADMIN) | CAPABILITY(CAP_PERFMON))

#define CAPABILITIES_TEXT_MAX 160 /* enough for any of the functions below */

/* "missing CAP_BPF, CAP_NET_ADMIN": those of `wanted` that this process lacks. NULL if it has all. */
const char *capabilities_missing(uint64_t wanted, char *out, size_t size);

/* "CAP_BPF, CAP_NET_ADMIN", or "none". Returns out. */
const char *capabilities_list(uint64_t set, char *out, size_t size);

/*
 * Words for `error` (-errno) of a call that needs the capabilities `wanted`: strerror(), and after a refusal those that
 * are missing, as in "Operation not permitted (missing CAP_NET_RAW)". Returns out.
 */
const char *capabilities_strerror(int error, uint64_t wanted, char *out, size_t size);

#endif
