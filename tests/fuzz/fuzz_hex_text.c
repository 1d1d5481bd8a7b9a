// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the reader of hex text. Any text is read safely. The input as bytes, written in each supported form, is read
 * back as the same bytes.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clienthello.h"
#include "fuzz/inputs.h"
#include "hello/hex_text.h"

#define BYTES_MAX 130

static void check_text(const uint8_t *text, size_t size)
{
	static uint8_t *out; /* exactly as large as the header requires, so that a sanitizer finds an overrun */
	size_t length = 0;
	enum hex_result result;

	if (!out)
		out = malloc(CLIENTHELLO_WIRE_MAX + 16);
	assert(out);
	result = hex_decode((const char *)text, size, out, &length);
	assert(length <= CLIENTHELLO_WIRE_MAX + 16);
	assert(length <= size / 2);
	if (result == HEX_DECODED)
		assert(length);
}

/* --- the forms --- */

/* Two digits per byte, with a prefix, in lower or upper case. */
static size_t write_plain(char *out, const uint8_t *bytes, size_t count, const char *before, const char *format)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		used += (size_t)sprintf(out + used, format, before, bytes[i]);
	return used;
}

static char printed(uint8_t byte)
{
	return (char)(isprint(byte) ? byte : '.');
}

/* 00000000: 1603 0100 ...  ....  */
static size_t write_xxd(char *out, const uint8_t *bytes, size_t count)
{
	size_t used = 0;

	for (size_t line = 0; line < count; line += 16) {
		used += (size_t)sprintf(out + used, "%08zx:", line);
		for (size_t i = 0; i < 16; i++)
			used += line + i < count
					? (size_t)sprintf(out + used, "%s%02x", i % 2 ? "" : " ", bytes[line + i])
					: (size_t)sprintf(out + used, "%s  ", i % 2 ? "" : " ");
		used += (size_t)sprintf(out + used, "  ");
		for (size_t i = line; i < count && i < line + 16; i++)
			out[used++] = printed(bytes[i]);
		out[used++] = '\n';
	}
	return used;
}

/* 00000000  16 03 01 00 02 00 01 00  01 fc 03 03 ...  |....|, and the length at the end. */
static size_t write_hexdump(char *out, const uint8_t *bytes, size_t count)
{
	size_t used = 0;

	for (size_t line = 0; line < count; line += 16) {
		used += (size_t)sprintf(out + used, "%08zx ", line);
		for (size_t i = 0; i < 16; i++)
			used += line + i < count
					? (size_t)sprintf(out + used, "%s%02x", i == 8 ? "  " : " ", bytes[line + i])
					: (size_t)sprintf(out + used, "%s  ", i == 8 ? "  " : " ");
		used += (size_t)sprintf(out + used, "  |");
		for (size_t i = line; i < count && i < line + 16; i++)
			out[used++] = printed(bytes[i]);
		used += (size_t)sprintf(out + used, "|\n");
	}
	return used + (size_t)sprintf(out + used, "%08zx\n", count);
}

static void check_form(const char *text, size_t size, const uint8_t *bytes, size_t count)
{
	static uint8_t out[CLIENTHELLO_WIRE_MAX + 16];
	size_t length;

	assert(hex_decode(text, size, out, &length) == HEX_DECODED);
	assert(length == count && memcmp(out, bytes, count) == 0);
}

/* Plain hex that begins with zeros is read as a dump. A hello is not: it begins with 16. */
static void check_forms(const uint8_t *data, size_t size)
{
	static char text[8 * BYTES_MAX + 64];
	uint8_t bytes[BYTES_MAX];
	size_t count = size < sizeof(bytes) - 1 ? size + 1 : sizeof(bytes);

	bytes[0] = 0x16;
	memcpy(bytes + 1, data, count - 1);
	check_form(text, write_plain(text, bytes, count, "", "%s%02x"), bytes, count);
	check_form(text, write_plain(text, bytes, count, "", "%s%02X"), bytes, count);
	check_form(text, write_plain(text, bytes, count, " ", "%s%02x"), bytes, count);
	check_form(text, write_plain(text, bytes, count, ":", "%s%02x"), bytes, count);
	check_form(text, write_plain(text, bytes, count, "0x", "%s%02x, "), bytes, count);
	check_form(text, write_plain(text, bytes, count, "\\x", "%s%02x"), bytes, count);
	check_form(text, write_plain(text, bytes, count, "\n", "%s%02x"), bytes, count);
	check_form(text, write_xxd(text, bytes, count), bytes, count);
	check_form(text, write_hexdump(text, bytes, count), bytes, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_text(data, size);
	check_forms(data, size);
	return 0;
}
