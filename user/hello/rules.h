/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of --route: parsing one, the tables that the ClientHello parser looks into, and how rules and routes are
 * named in outputs. Owns nothing and allocates nothing. Any thread; a struct routes is its owner's.
 */
#ifndef ALPNBPF_HELLO_RULES_H
#define ALPNBPF_HELLO_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"
#include "base/sentence.h"

#define ROUTE_NAME_MAX 255 /* of an ALPN name, and more than a host name can have */
#define ROUTE_TEXT_MAX 160 /* of a rule's condition in a sentence */

/* What a hello's name must be. Host names are in lower case. */
struct route_pattern {
	bool suffix; /* … or end in, with more before it: *.example.org without its star */
	uint8_t length;
	uint8_t bytes[ROUTE_NAME_MAX];
};

struct routes {
	unsigned int count;
	struct clienthello_rule rules[CLIENTHELLO_RULES_MAX]; /* bits are indices of patterns */
	unsigned int lines[CLIENTHELLO_RULES_MAX];            /* in the configuration file; 0: from the command line */
	unsigned int pattern_count[CLIENTHELLO_KINDS];
	struct route_pattern patterns[CLIENTHELLO_KINDS][CLIENTHELLO_NAMES_MAX]; /* the first of ALPN is acme-tls/1 */
};

/*
 * Adds the rule that `text` begins with: words alpn=NAME,… and sni=HOST,…, then "->". True with *backend at what
 * follows that in text; false with why, as in "has no ...".
 */
bool routes_add(struct routes *routes, const char *text, unsigned int line, const char **backend, struct sentence *why);

/* Fills *table, which is all zero, with the rules. */
void routes_compile(const struct routes *routes, struct clienthello_rules *table);

/* "sni=*.example.org alpn=h2", cut where it does not fit. Returns out. */
const char *routes_format(const struct routes *routes, unsigned int rule, char *out, size_t size);

/* "https", "acme", "route-1" … */
const char *route_name(enum route route);

#endif
