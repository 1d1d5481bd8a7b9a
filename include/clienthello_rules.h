/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rules a ClientHello can meet, as the tables its parser looks into: one value of a BPF map, and what native
 * callers hold. Filled by user/hello/rules.c, read-only for everybody else.
 *
 * All names are looked for at once, a bit each, and no name is ever stored: `start` has the names that one of some
 * length can be, and each of its bytes takes out, by its place counted from the end, those that have another one there.
 * What is left after the last byte was met. A name that stands for all that end in it lets any byte pass before its
 * own; upper and lower case are both in the table where they are the same.
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
#define CLIENTHELLO_NAMES_MAX 64         /* of a kind: bits of a word */
#define CLIENTHELLO_LENGTHS   256        /* a name of 256 bytes or more is none of them */
#define CLIENTHELLO_ACME_BIT  ((__u64)1) /* of ALPN: acme-tls/1, in every table */

/* Met when of each kind one of these names is there; none of a kind: whatever there is of it. */
struct clienthello_rule {
	__u64 any_of[CLIENTHELLO_KINDS];
};

struct clienthello_rules {
	__u32 count, pad;
	struct clienthello_rule rules[CLIENTHELLO_RULES_MAX];        /* the first that is met counts */
	__u64 start[CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS];        /* by clienthello_start() */
	__u64 accept[CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS * 256]; /* by clienthello_accept() */
};

/*
 * The mask says nothing that the compiler does not know; the verifier does not, and needs to be told where the index is
 * used: bound by the compiler to that place.
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

/* from_end: of the last byte 0 */
static inline __u32 clienthello_accept(__u32 kind, __u32 from_end, __u32 byte)
{
	return clienthello_bound((kind * CLIENTHELLO_LENGTHS + from_end) * 256 + byte,
				 CLIENTHELLO_KINDS * CLIENTHELLO_LENGTHS * 256 - 1);
}

#endif
