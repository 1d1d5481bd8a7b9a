/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What describes an option, and the value parsers that the table of options (table.c) refers to. Private to this
 * folder. A parser belongs to one call of options_parse(); nothing is shared.
 */
#ifndef ALPNBPF_OPTIONS_PARSER_H
#define ALPNBPF_OPTIONS_PARSER_H

#include "options/options.h"

enum { OPTIONS_MAX = 40 };

struct option_spec;

/* The state of one call of options_parse(). */
struct parser {
	struct options *options;
	const struct option_spec *spec; /* the current option */
	struct sentence *why;
	const char *only;        /* the option to parse; the others are skipped. NULL: all */
	unsigned int line;       /* of the configuration file; 0: the command line */
	bool seen[OPTIONS_MAX];  /* by index in the table: given in the current source, the command line or the file */
	bool given[OPTIONS_MAX]; /* given in either */
};

/* Everything about an option, except the rules between options (across.c) and its section of the manual. */
struct option_spec {
	const char *name;
	const char *argument; /* NULL for a flag; of a choice, the names separated by | */
	bool (*parse)(struct parser *parser, const char *value);
	const char *help;
	size_t offset, size;            /* of the field of struct options that it sets; 0: not just one field */
	unsigned int initial;           /* the field's default, which the help text repeats */
	unsigned long long least, most; /* of numbers, durations (ms) and sizes (bytes) */
	bool zero;                      /* allows 0, which means "off" */
	enum route route;               /* whose backend it is */
	bool required, repeatable;
	void (*reset)(struct options *options); /* of a repeatable option: forgets what was given */
	bool not_in_file;                       /* makes sense only on the command line */
	/* Do both give the option the same value? NULL: compare the bytes of the field. */
	bool (*same)(const struct option_spec *spec, const struct options *a, const struct options *b);
	bool fixed; /* a reload cannot change it */
};

/* Each stores a value, or returns false with option, value and remedy in parser->why. */

/* values.c: for options that set one unsigned int or enum; `off` clears a bool */
bool option_parse_number(struct parser *parser, const char *text);
bool option_parse_duration(struct parser *parser, const char *text);
bool option_parse_size(struct parser *parser, const char *text);
/* The position of the text among the names in `argument` is the enum's value. */
bool option_parse_choice(struct parser *parser, const char *text);
bool option_parse_off(struct parser *parser, const char *text);
/* Into an array of characters, padded with zeros. */
bool option_parse_name(struct parser *parser, const char *text);
bool option_parse_account(struct parser *parser, const char *text);
/* A name or a number, or "any": into a struct owner. */
bool option_parse_owner(struct parser *parser, const char *text);

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
