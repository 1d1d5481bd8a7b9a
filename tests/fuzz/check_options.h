/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks of accepted options, from a command line or from a file. */
#ifndef ALPNBPF_FUZZ_CHECK_OPTIONS_H
#define ALPNBPF_FUZZ_CHECK_OPTIONS_H

#include "options/options.h"

/*
 * Parses as `attach` does, or as `inspect` does (partial). Checks that there is an error text if, and only if, the
 * options are refused.
 */
enum options_result parse_options(struct options *options, int argc, char **argv, bool partial, struct sentence *why);

/* Each field is within its bounds, and consistent with the others. */
void check_options(const struct options *options, bool partial);

/* A reload would find no difference. */
void check_same_options(const struct options *a, const struct options *b);

#endif
