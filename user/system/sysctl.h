/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel settings under /proc/sys, of this network namespace where they belong to one. Owns nothing. Any thread. */
#ifndef ALPNBPF_SYSTEM_SYSCTL_H
#define ALPNBPF_SYSTEM_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

/* The value of `name` ("net/ipv4/tcp_congestion_control"), its first line. False, and empty: it cannot be read. */
bool sysctl_text(const char *name, char *out, size_t size);
/* Its first number; `otherwise` where there is none. */
unsigned int sysctl_number(const char *name, unsigned int otherwise);

#endif
