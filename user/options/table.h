/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of options, from which the command line, the configuration file, --help, the completions, the defaults and
 * the rules of a reload all come. Private to this folder. Constant.
 */
#ifndef ALPNBPF_OPTIONS_TABLE_H
#define ALPNBPF_OPTIONS_TABLE_H

#include "options/parser.h"

extern const struct option_spec option_specs[];
extern const size_t option_spec_count;

/* Nothing given: zero, but for the fields that the table has another initial value for. */
void option_set_defaults(struct options *options);
/* NULL: there is none of that name. Whole names only: an abbreviation that works today is ambiguous tomorrow. */
const struct option_spec *option_find(const char *name, size_t length);
/* One option with its value (NULL for a flag) as the command line or a line of the file gives it. */
bool option_apply(struct parser *parser, const struct option_spec *spec, const char *value);
/* Do both give the option the same value? Its default is a value, too. */
bool option_is_same(const struct option_spec *spec, const struct options *a, const struct options *b);

#endif
