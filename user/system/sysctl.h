/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel settings under /proc/sys; those of a network namespace are this one's. Owns nothing. Any thread. */
#ifndef ALPNBPF_SYSTEM_SYSCTL_H
#define ALPNBPF_SYSTEM_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

/* The first line of `name` ("net/ipv4/tcp_congestion_control"). False, and an empty text, if it cannot be read. */
bool sysctl_text(const char *name, char *out, size_t size);
/* The first number of `name`; `otherwise` if there is none. */
unsigned int sysctl_number(const char *name, unsigned int otherwise);

#endif
