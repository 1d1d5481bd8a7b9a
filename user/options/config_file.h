/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file: a line an option, `name = value`, with the names of the long options. A flag stands alone, or
 * is `name = yes` or `no`. Blank lines, and what follows a # at the start of a line or after a blank, are comments.
 * Owns nothing; on the thread of options_parse().
 */
#ifndef ALPNBPF_OPTIONS_CONFIG_FILE_H
#define ALPNBPF_OPTIONS_CONFIG_FILE_H

#include <stdbool.h>

struct parser;

/* Applies each line in order. False leaves a sentence in parser->why, with the file's name and the line's number. */
bool config_file_read(struct parser *parser, const char *path);

#endif
