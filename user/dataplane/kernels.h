/* SPDX-License-Identifier: BSD-2-Clause */
/* Which kernels have a sockmap that loses no data. Owns nothing. Any thread. */
#ifndef ALPNBPF_DATAPLANE_KERNELS_H
#define ALPNBPF_DATAPLANE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* Why a kernel is too old. */
#define KERNEL_FAULT "its sockmap can lose or duplicate data; this is fixed in 6.1.142, 6.12.35 and 6.16"

/*
 * Is it older than the first kernel of its series whose sockmap loses no data (docs/KERNEL.md 9)? Takes release and
 * version from uname(2), because Debian has the patch level in the version. Fills name with what was compared.
 */
bool kernel_is_too_old(const char *release, const char *version, char *name, size_t size);

#endif
