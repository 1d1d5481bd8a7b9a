/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of --route: parsing them, compiling them into the tables that the ClientHello parser reads, and the names
 * of rules and routes in outputs. Owns and allocates nothing. Any thread; a struct routes has one owner.
 */
#ifndef ALPNBPF_HELLO_RULES_H
#define ALPNBPF_HELLO_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "base/sentence.h"

#define ROUTE_NAME_MAX 255 /* of an ALPN name; a host name is shorter */
#define ROUTE_TEXT_MAX 160 /* of a rule's condition in a message */

/* A name to match. Host names are in lower case. */
struct route_pattern {
	bool suffix; /* matches longer names that end with it: *.example.org without its star */
	uint8_t length;
	uint8_t bytes[ROUTE_NAME_MAX];
};

struct routes {
	unsigned int count;
	struct clienthello_rule rules[CLIENTHELLO_RULES_MAX]; /* their bits are indices into patterns */
	unsigned int lines[CLIENTHELLO_RULES_MAX];            /* of the configuration file; 0: the command line */
	unsigned int pattern_count[CLIENTHELLO_KINDS];
	struct route_pattern patterns[CLIENTHELLO_KINDS][CLIENTHELLO_NAMES_MAX]; /* the first of ALPN is acme-tls/1 */
};

/*
 * Adds the rule at the start of `text`: alpn=NAME,... and sni=HOST,..., then "->". On true, *backend points at the text
 * after that. On false, why says what is wrong with the rule, and names no option.
 */
bool routes_add(struct routes *routes, const char *text, unsigned int line, const char **backend, struct sentence *why);

/* Compiles the rules into *table, which is all zero. */
void routes_compile(const struct routes *routes, struct clienthello_rules *table);

/* "sni=*.example.org alpn=h2", cut with "..." if it does not fit. Returns out. */
const char *routes_format(const struct routes *routes, unsigned int rule, char *out, size_t size);

/* "https", "acme", "route-1" and so on. */
const char *route_name(enum route route);

#endif
