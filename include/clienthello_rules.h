/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules for ClientHellos, as tables for the parser: a value of a BPF map, or memory of native callers.
 * user/hello/rules.c fills them; all others only read them.
 *
 * The parser matches all names at once, one bit per name, and stores no name. `start` has, for each length, the names
 * that can have it. Each byte of the hello's name then clears the bits of the names that have another byte at that
 * position, counted from the end (`accept`). Bits left after the last byte are matches. A wildcard name (*.example.org)
 * accepts any byte before its own bytes; host names accept upper and lower case.
 */
#ifndef CLIENTHELLO_RULES_H
#define CLIENTHELLO_RULES_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum clienthello_kind {
	CLIENTHELLO_ALPN = 0,
	CLIENTHELLO_SNI = 1,
	CLIENTHELLO_KINDS = 2,
};

#define CLIENTHELLO_RULES_MAX 32
#define CLIENTHELLO_NAMES_MAX 64         /* per kind: bits of a word */
#define CLIENTHELLO_LENGTHS   256        /* a name of 256 bytes or more matches none */
#define CLIENTHELLO_ACME_BIT  ((__u64)1) /* the ALPN name acme-tls/1, in every table */

/* Matches if the hello has one of these names of each kind; a kind without names always matches. */
struct clienthello_rule {
	__u64 any_of[CLIENTHELLO_KINDS];
};

struct clienthello_rules {
	__u32 count, pad;
	struct clienthello_rule rules[CLIENTHELLO_RULES_MAX];        /* the first match wins */
	__u64 start[CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS];        /* by clienthello_start() */
	__u64 accept[CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS * 256]; /* by clienthello_accept() */
};

/*
 * The compiler knows that the mask changes nothing, but the verifier needs it, next to the access: the asm keeps the
 * compiler from removing or moving it.
 */
static inline __u32 clienthello_bound(__u32 index, __u32 mask)
{
#ifdef __bpf__
	asm volatile("" : "+r"(index));
#endif
	return index & mask;
}

static inline __u32 clienthello_start(__u32 kind, __u32 length)
{
	return clienthello_bound(kind * CLIENTHELLO_LENGTHS + length, CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS - 1);
}

/* from_end: 0 for the last byte */
static inline __u32 clienthello_accept(__u32 kind, __u32 from_end, __u32 byte)
{
	return clienthello_bound((kind * CLIENTHELLO_LENGTHS + from_end) * 256 + byte,
				 CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS * 256 - 1);
}

#endif
