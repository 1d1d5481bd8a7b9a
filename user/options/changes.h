/* SPDX-License-Identifier: BSD-2-Clause */
/* The differences between the running options and those of a reload. Owns nothing. Any thread. */
#ifndef ALPNBPF_OPTIONS_CHANGES_H
#define ALPNBPF_OPTIONS_CHANGES_H

#include "options/options.h"

/*
 * Lists in out the names of the options that differ, separated by commas: with fixed those that a reload cannot change,
 * without it the others. Returns how many there are.
 */
unsigned int options_list_changes(const struct options *old, const struct options *new, bool fixed, char *out,
				  size_t size);

#endif
