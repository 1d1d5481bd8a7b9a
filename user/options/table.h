/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of options, from which the command line, the configuration file and --help all come. Private to options*.c.
 */
#ifndef ALPNBPF_OPTIONS_TABLE_H
#define ALPNBPF_OPTIONS_TABLE_H

#include "options/options.h"

enum { OPTIONS_MAX = 40 };

struct option_spec;

/* What is being parsed, and what is wrong with it. */
struct parser {
	struct options *options;
	const struct option_spec *spec; /* the option at hand */
	struct sentence *why;
	unsigned int line;       /* of the configuration file; 0: on the command line */
	bool seen[OPTIONS_MAX];  /* by index in the table: given where we are, on the command line or in the file */
	bool given[OPTIONS_MAX]; /* anywhere */
};

struct choice {
	const char *name; /* NULL ends a list */
	unsigned int value;
};

struct option_spec {
	const char *name;
	const char *argument; /* NULL: takes none */
	bool (*parse)(struct parser *parser, const char *value);
	const char *help;
	size_t offset;                  /* of the field it sets */
	unsigned long long least, most; /* of numbers, durations (ms) and sizes (bytes) */
	bool zero;                      /* 0 is allowed below least, and means "off" */
	const struct choice *choices;
	unsigned int choice; /* which backend, or what a flag stores */
	bool required, repeatable;
	void (*reset)(struct options *options); /* of a repeatable one: as if it had never been given */
	bool not_in_file;                       /* makes sense on the command line alone */
};

extern const struct option_spec option_specs[];
extern const size_t option_spec_count;

/* NULL: there is none of that name. Whole names only: an abbreviation that works today is ambiguous tomorrow. */
const struct option_spec *option_find(const char *name, size_t length);
/* One option with its value (NULL for a flag) as the command line or a line of the file gives it. */
bool option_apply(struct parser *parser, const struct option_spec *spec, const char *value);

/* In options_route.c. */
bool options_parse_route(struct parser *parser, const char *text);
bool options_parse_proxy_protocol(struct parser *parser, const char *text);
void options_reset_routes(struct options *options);
void options_reset_proxy(struct options *options);

#endif
