/* SPDX-License-Identifier: BSD-2-Clause */
/* What differs between the options that run and those of a reload. Owns nothing. Any thread. */
#ifndef ALPNBPF_OPTIONS_CHANGES_H
#define ALPNBPF_OPTIONS_CHANGES_H

#include "options/options.h"

/*
 * The names of those that differ in out, separated by commas; fixed: those that cannot change while the process runs,
 * else the others. How many there are.
 */
unsigned int options_list_changes(const struct options *old, const struct options *new, bool fixed, char *out,
				  size_t size);

#endif
