/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the sockets of running instances are, and what they are called. Owns nothing but its text. Main thread. */
#ifndef ALPNBPF_SYSTEM_RUN_DIRECTORY_H
#define ALPNBPF_SYSTEM_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

/* The first of $RUNTIME_DIRECTORY, which a service manager sets, or /run/alpnbpf. */
const char *run_directory(void);
/* NAME.SUFFIX there. False: too long. */
bool run_directory_path(const char *name, const char *suffix, char *out, size_t size);
/* NAME.sock there, a control socket. False: too long for a socket's name. */
bool run_directory_socket(const char *name, char *out, size_t size);

#endif
