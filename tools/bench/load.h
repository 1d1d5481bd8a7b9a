/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol of the benchmark: a ClientHello, for routers to inspect; one command; then rounds of `up` bytes from the
 * client and `down` bytes back. All bytes come from one pattern, which both ends check.
 */
#ifndef ALPNBPF_BENCH_LOAD_H
#define ALPNBPF_BENCH_LOAD_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_BYTES 517
#define CHUNK       (256 * 1024)
#define PERIOD      65521 /* of the pattern; a prime, so that no buffer size hides a shift */

struct command {
	uint64_t up, down; /* bytes of a round */
	uint32_t rounds;   /* 0: endless */
	uint32_t linger;   /* 1: the server sends endlessly and reads nothing */
};

static unsigned char pattern[PERIOD + CHUNK];

static inline void pattern_fill(void)
{
	uint32_t state = 1;

	for (size_t i = 0; i < PERIOD; i++) {
		state = state * 1664525 + 1013904223;
		pattern[i] = (unsigned char)(state >> 24);
	}
	for (size_t i = PERIOD; i < sizeof(pattern); i++)
		pattern[i] = pattern[i - PERIOD];
}

/* The pattern at position `at` of a stream; CHUNK bytes are valid. */
static inline const unsigned char *pattern_at(uint64_t at)
{
	return pattern + at % PERIOD;
}

static inline void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A ClientHello of TLS 1.3 with a name, ALPN h2 and http/1.1, padded to the usual 517 bytes. */
static inline void hello_fill(unsigned char hello[HELLO_BYTES])
{
	static const unsigned char head[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	static const unsigned char body[] = {
		0,   0,    6,   0x13, 1,   0x13, 2,   0x13, 3,   1,   0, /* session, ciphers, none */
		1,   0xcd,                                               /* extensions: 461 bytes */
		0,   0,    0,   21,   0,   19,   0,   0,    16,  'w', 'w', 'w', '.',
		'e', 'x',  'a', 'm',  'p', 'l',  'e', '.',  't', 'e', 's', 't', /* server_name */
		0,   16,   0,   14,   0,   12,   2,   'h',  '2', 8,   'h', 't', 't',
		'p', '/',  '1', '.',  '1', 0,    43,  0,    3,   2,   3,   4};
	size_t at = sizeof(head) + 32, left;

	memset(hello, 0, HELLO_BYTES);
	memcpy(hello, head, sizeof(head));
	memset(hello + sizeof(head), 0x5a, 32); /* random */
	memcpy(hello + at, body, sizeof(body));
	at += sizeof(body);
	left = HELLO_BYTES - at - 4;
	hello[at + 1] = 21; /* padding */
	hello[at + 2] = (unsigned char)(left >> 8);
	hello[at + 3] = (unsigned char)left;
}

#endif
