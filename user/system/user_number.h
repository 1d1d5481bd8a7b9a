/* SPDX-License-Identifier: BSD-2-Clause */
/* Users of this machine. Main thread. */
#ifndef ALPNBPF_SYSTEM_USER_NUMBER_H
#define ALPNBPF_SYSTEM_USER_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define USER_NUMBER_TEXT_MAX 64

/*
 * The number by which the kernel knows a user of our user namespace, and back. The same number but in a user namespace
 * of a container, whose map is read; UINT32_MAX if it has no such user. Of nested namespaces, only the innermost map is
 * applied: there, BPF programs cannot be loaded.
 */
uint32_t user_in_kernel(uint32_t uid);
uint32_t user_from_kernel(uint32_t uid);

/* "uid 65534 (nobody)", or without a name if /etc/passwd has none. Returns out. */
const char *user_format(uint32_t uid, char *out, size_t size);

#endif
