/* SPDX-License-Identifier: BSD-2-Clause */
/* Other processes as /proc shows them: what they are called, which sockets they hold. Owns nothing. Main thread. */
#ifndef ALPNBPF_SYSTEM_PROCESS_H
#define ALPNBPF_SYSTEM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#define PROCESS_TEXT_MAX 64

/* "nginx (pid 123)". Returns out. */
const char *process_name(unsigned int pid, char *out, size_t size);

/*
 * The process that holds a socket with one of these inodes, named as above: the one with the lowest number, a server's
 * master before the workers that inherited its socket. False: none that can be seen from here, or not within 100 ms.
 * Reads the descriptors of all processes.
 */
bool process_find_holder(const unsigned long *inodes, unsigned int count, char *out, size_t size);

#endif
