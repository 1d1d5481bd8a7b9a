/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of options, on which the command line, the configuration file, --help, the completions, the defaults and
 * reload all rely. Private to this folder. Constant.
 */
#ifndef ALPNBPF_OPTIONS_TABLE_H
#define ALPNBPF_OPTIONS_TABLE_H

#include "options/parser.h"

extern const struct option_spec option_specs[];
extern const size_t option_spec_count;

/* Sets each field to the default in the table, or to zero. */
void option_set_defaults(struct options *options);
/* NULL if there is none. Whole names only: an abbreviation that works today may be ambiguous tomorrow. */
const struct option_spec *option_find(const char *name, size_t length);
/* Applies an option with its value (NULL for a flag), from the command line or the file. */
bool option_apply(struct parser *parser, const struct option_spec *spec, const char *value);
/* Do both give the option the same value? A default is a value, too. */
bool option_is_same(const struct option_spec *spec, const struct options *a, const struct options *b);

#endif
