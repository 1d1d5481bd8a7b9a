/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file: one option per line, `name = value`, with the names of the long options. A flag is written as
 * `name`, or as `name = yes` or `no`. A # at the start of a line or after a blank starts a comment. Owns nothing; on
 * the thread of options_parse().
 */
#ifndef ALPNBPF_OPTIONS_CONFIG_FILE_H
#define ALPNBPF_OPTIONS_CONFIG_FILE_H

#include <stdbool.h>

#include "base/sentence.h"

struct parser;

/* Applies the lines in order. On false, parser->why starts with the file's name and the line's number. */
bool config_file_read(struct parser *parser, const char *path);
/*
 * Can others than root and this user change it? Then who says which. One that everybody can write to is not read at
 * all. Before this process changes its user.
 */
bool config_file_writers(const char *path, struct sentence *who);

#endif
