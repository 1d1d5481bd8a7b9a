/* SPDX-License-Identifier: BSD-2-Clause */
/* The directory with the sockets of running instances, and their names. Owns the text of its path. Main thread. */
#ifndef ALPNBPF_SYSTEM_RUN_DIRECTORY_H
#define ALPNBPF_SYSTEM_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The first of $RUNTIME_DIRECTORY, which a service manager sets, or /run/alpnbpf. */
const char *run_directory(void);
/*
 * Creates it if it does not exist, and lets `group` remove files from it. An existing one is changed only if it is
 * ours, and holds nothing but what alpnbpf puts there. 0 or -errno.
 */
int run_directory_make(gid_t group);
/* The path of NAME.SUFFIX there. False if it is too long. */
bool run_directory_path(const char *name, const char *suffix, char *out, size_t size);
/* The path of a control socket, NAME.sock. False if it is too long for a socket. */
bool run_directory_socket(const char *name, char *out, size_t size);

#endif
