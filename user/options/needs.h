/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the options need of the machine: capabilities, threads, descriptors. Both check and attach use it, so that they
 * agree. Owns nothing. Main thread, at start-up.
 */
#ifndef ALPNBPF_OPTIONS_NEEDS_H
#define ALPNBPF_OPTIONS_NEEDS_H

#include <stdint.h>
#include <sys/resource.h>

#include "options/options.h"

/* The capabilities needed to bind our listeners. */
uint64_t needs_to_listen(const struct options *options);
/* The capabilities needed to open a socket in place of the web server's, on any listening port. */
uint64_t needs_to_take_over(const struct options *options);

/* The number of workers: --workers, or one per CPU that this process may run on. */
unsigned int needs_workers(const struct options *options);

/* The descriptor limit for so many sessions, of two descriptors each, and everything else that attach opens. */
rlim_t needs_descriptors(const struct options *options, unsigned int sessions);
/* How many sessions a limit of `nofile` descriptors allows. */
unsigned int needs_session_limit(const struct options *options, rlim_t nofile);

#endif
