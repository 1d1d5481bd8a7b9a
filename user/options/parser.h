/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an option is, and the parsers of values that the table of options (table.c) is made of. Private to this folder.
 * A parser belongs to one call of options_parse(); nothing is shared.
 */
#ifndef ALPNBPF_OPTIONS_PARSER_H
#define ALPNBPF_OPTIONS_PARSER_H

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

/* Everything there is to know about an option, but for the rules between options (across.c) and the manual. */
struct option_spec {
	const char *name;
	const char *argument; /* NULL: takes none; of choices: their names, separated by | */
	bool (*parse)(struct parser *parser, const char *value);
	const char *help;
	size_t offset, size;            /* of the field of struct options that it sets; 0: none, or none alone */
	unsigned int initial;           /* what that is where the option is not given: the default that help names */
	unsigned long long least, most; /* of numbers, durations (ms) and sizes (bytes) */
	bool zero;                      /* 0 is allowed below least, and means "off" */
	enum route route;               /* whose backend it is */
	bool required, repeatable;
	void (*reset)(struct options *options); /* of a repeatable one: as if it had never been given */
	bool not_in_file;                       /* makes sense on the command line alone */
	/* Do both say the same? NULL: the bytes of the field tell. */
	bool (*same)(const struct option_spec *spec, const struct options *a, const struct options *b);
	bool fixed; /* the process is built around it: a reload cannot change it */
};

/* Each stores a value, or refuses it with a sentence in parser->why that names option, value and remedy. */

/* values.c: into a field of their own, an unsigned int or an enum; `off` clears a bool */
bool option_parse_number(struct parser *parser, const char *text);
bool option_parse_duration(struct parser *parser, const char *text);
bool option_parse_size(struct parser *parser, const char *text);
/* The place of the text among the argument's names is the enum's value. */
bool option_parse_choice(struct parser *parser, const char *text);
bool option_parse_off(struct parser *parser, const char *text);
/* Into a field of characters, filled up with zeros. */
bool option_parse_name(struct parser *parser, const char *text);
bool option_parse_group(struct parser *parser, const char *text);

/* endpoints.c */
bool option_parse_backend(struct parser *parser, const char *text);
bool option_same_backend(const struct option_spec *spec, const struct options *a, const struct options *b);
bool option_parse_listen(struct parser *parser, const char *text);
void option_reset_listen(struct options *options);
bool option_same_listen(const struct option_spec *spec, const struct options *a, const struct options *b);
bool option_parse_metrics(struct parser *parser, const char *text);
bool option_same_metrics(const struct option_spec *spec, const struct options *a, const struct options *b);

/* routes.c */
bool option_parse_route(struct parser *parser, const char *text);
void option_reset_route(struct options *options);
bool option_same_route(const struct option_spec *spec, const struct options *a, const struct options *b);
bool option_parse_proxy_protocol(struct parser *parser, const char *text);
void option_reset_proxy_protocol(struct options *options);
bool option_parse_proxy_tlv(struct parser *parser, const char *text);
void option_reset_proxy_tlv(struct options *options);
bool option_same_proxy_tlv(const struct option_spec *spec, const struct options *a, const struct options *b);
bool option_parse_client_address(struct parser *parser, const char *text);
bool option_same_client_address(const struct option_spec *spec, const struct options *a, const struct options *b);

#endif
