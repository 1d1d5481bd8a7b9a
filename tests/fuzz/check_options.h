/* SPDX-License-Identifier: BSD-2-Clause */
/* What has to hold of options that were accepted, wherever they were read. */
#ifndef ALPNBPF_FUZZ_CHECK_OPTIONS_H
#define ALPNBPF_FUZZ_CHECK_OPTIONS_H

#include "options/options.h"

/* Parsed, as `attach` does, or as `inspect` does (partial). A refusal has to say why, and nothing else may. */
enum options_result parse_options(struct options *options, int argc, char **argv, bool partial, struct sentence *why);

/* Every field is within its bounds, and what depends on others fits them. */
void check_options(const struct options *options, bool partial);

/* They differ in nothing that a reload would see. */
void check_same_options(const struct options *a, const struct options *b);

#endif
