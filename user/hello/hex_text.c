// SPDX-License-Identifier: BSD-2-Clause
/* Decodes hex text: see hex_text.h. Owns nothing. Any thread. */
#include "hello/hex_text.h"

#include <stdbool.h>
#include <string.h>

#include "clienthello.h"

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == ',' || c == ':';
}

/* The number of hex digits at the start, after a 0x or \x; moves *at to the first digit. */
static size_t hex_token(const char **at, const char *end)
{
	const char *digit = *at;

	if (end - digit > 2 && (digit[0] == '0' || digit[0] == '\\') && (digit[1] == 'x' || digit[1] == 'X'))
		digit += 2;
	*at = digit;
	while (digit < end && hex_digit(*digit) >= 0)
		digit++;
	return (size_t)(digit - *at);
}

/*
 * Does the text start with an offset, as dumps do: four zeros or more, then other text on the line? A hello starts with
 * 16, so its plain hex cannot look like that.
 */
static bool has_offsets(const char *line, const char *end)
{
	size_t digits;

	while (line < end && is_separator(*line))
		line++;
	digits = hex_token(&line, end);
	for (size_t i = 0; i < digits; i++)
		if (line[i] != '0')
			return false;
	return digits >= 4 && line + digits < end && is_separator(line[digits]);
}

/* Appends one line's bytes to out at *length. False if the line is not hex. */
static bool decode_line(const char *at, const char *end, bool offsets, uint8_t *out, size_t *length)
{
	size_t limit = CLIENTHELLO_WIRE_MAX;

	if (offsets) {
		while (at < end && is_separator(*at))
			at++;
		at += hex_token(&at, end);
		limit = *length + 16; /* after them the line repeats the bytes as characters */
	}
	while (at < end && *length < limit) {
		const char *blanks = at;
		size_t digits;

		while (at < end && is_separator(*at))
			at++;
		/* on a dump's last, short line a gap or a bar precedes the characters */
		if (at == end || (offsets && (*at == '|' || at - blanks > 3)))
			break;
		digits = hex_token(&at, end);
		if (!digits || digits % 2)
			return false;
		for (; digits && *length < limit; digits -= 2, at += 2)
			out[(*length)++] = (uint8_t)(hex_digit(at[0]) * 16 + hex_digit(at[1]));
	}
	return true;
}

enum hex_result hex_decode(const char *text, size_t size, uint8_t *out, size_t *length)
{
	const char *line = text, *end = text + size;
	bool offsets = false;

	*length = 0;
	while (line < end && *length < CLIENTHELLO_WIRE_MAX) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *line_end = newline ? newline : end;

		if (line == text)
			offsets = has_offsets(line, line_end);
		if (offsets && line < line_end && *line == '*')
			return HEX_INCOMPLETE;
		if (!decode_line(line, line_end, offsets, out, length))
			return HEX_NONE;
		line = newline ? newline + 1 : end;
	}
	return *length ? HEX_DECODED : HEX_NONE;
}
