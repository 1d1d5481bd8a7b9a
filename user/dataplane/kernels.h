/* SPDX-License-Identifier: BSD-2-Clause */
/* Which kernels have a sockmap that loses no data. Owns nothing. Any thread. */
#ifndef ALPNBPF_DATAPLANE_KERNELS_H
#define ALPNBPF_DATAPLANE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* What is wrong with one that is too old. */
#define KERNEL_FAULT "its sockmap can lose or double data; 6.1.142, 6.12.35 and 6.16 are the first that do not"

/*
 * Older than the first kernel of its series whose sockmap loses no data (docs/KERNEL.md 9)? Release and version as
 * uname(2) gives them: Debian's release names no patch level, its version does. name: what was compared.
 */
bool kernel_is_too_old(const char *release, const char *version, char *name, size_t size);

#endif
