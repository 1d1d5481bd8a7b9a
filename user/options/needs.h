/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the options need of a machine: capabilities, threads, descriptors. check and attach both ask here, so that they
 * agree. Owns nothing. Main thread, at start-up.
 */
#ifndef ALPNBPF_OPTIONS_NEEDS_H
#define ALPNBPF_OPTIONS_NEEDS_H

#include <stdint.h>
#include <sys/resource.h>

#include "options/options.h"

/* The capabilities that binding our listeners takes. */
uint64_t needs_to_listen(const struct options *options);
/* The capabilities that a socket in the place of the web server's takes, at any of the listened ports. */
uint64_t needs_to_take_over(const struct options *options);

/* Threads that move bytes: --workers, or one a CPU that this process may run on. */
unsigned int needs_workers(const struct options *options);

/* The descriptor limit that so many sessions need, at two descriptors each, with all that attach opens besides. */
rlim_t needs_descriptors(const struct options *options, unsigned int sessions);
/* How many sessions a limit of `nofile` descriptors leaves room for. */
unsigned int needs_session_limit(const struct options *options, rlim_t nofile);

#endif
