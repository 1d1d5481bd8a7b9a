/* SPDX-License-Identifier: BSD-2-Clause */
/* Other processes as /proc shows them: their names, and the sockets they hold. Owns nothing. Main thread. */
#ifndef ALPNBPF_SYSTEM_PROCESS_H
#define ALPNBPF_SYSTEM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#define PROCESS_TEXT_MAX 64

/* "nginx (pid 123)". Returns out. */
const char *process_name(unsigned int pid, char *out, size_t size);

/*
 * Finds the process that holds a socket with one of these inodes, and names it as above. Of several the one with the
 * lowest pid, so a server's master before its workers. False if none is visible from here, or none was found within 100
 * ms. Reads the descriptors of all processes.
 */
bool process_find_holder(const unsigned long *inodes, unsigned int count, char *out, size_t size);

/* How many descriptors this process has open. */
unsigned int process_descriptors(void);

#endif
