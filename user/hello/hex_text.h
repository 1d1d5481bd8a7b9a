/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decodes a ClientHello from hex text: plain, with blanks, colons or 0x, or as xxd and hexdump -C print it. Owns
 * nothing. Any thread.
 */
#ifndef ALPNBPF_HELLO_HEX_TEXT_H
#define ALPNBPF_HELLO_HEX_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* The value of a hex digit, or -1. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* INCOMPLETE: a dump with repeated lines omitted, shown as "*". */
enum hex_result { HEX_NONE, HEX_DECODED, HEX_INCOMPLETE };

/* Decodes hex text into out[CLIENTHELLO_WIRE_MAX + 16], no more than a parser needs. HEX_NONE: the input is not hex. */
enum hex_result hex_decode(const char *text, size_t size, uint8_t *out, size_t *length);

#endif
