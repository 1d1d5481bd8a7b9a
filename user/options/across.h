/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules between options, and the defaults that depend on other options. Private to this folder. On the thread of
 * options_parse().
 */
#ifndef ALPNBPF_OPTIONS_ACROSS_H
#define ALPNBPF_OPTIONS_ACROSS_H

#include "options/options.h"

/* Applies both. On false, why says which rule is broken. */
bool options_finish(struct options *options, struct sentence *why);

#endif
