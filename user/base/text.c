// SPDX-License-Identifier: BSD-2-Clause
/* Growing strings, and UTF-8 checks: see text.h. Owns nothing. Any thread, one at a time per text. */
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 1024

/* Makes room for `more` bytes and the NUL. */
static bool text_reserve(struct text *text, size_t more)
{
	size_t size = text->size ? text->size : FIRST_SIZE;
	char *bytes;

	if (text->failed)
		return false;
	while (size - text->length <= more)
		size *= 2;
	if (size == text->size)
		return true;
	bytes = realloc(text->bytes, size);
	if (!bytes) {
		text->failed = true;
		return false;
	}
	text->bytes = bytes;
	text->size = size;
	return true;
}

void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
	if (!text_reserve(text, length))
		return;
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

void text_add(struct text *text, const char *format, ...)
{
	va_list arguments, again;
	int length;

	va_start(arguments, format);
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, arguments);
	if (length > 0 && text_reserve(text, (size_t)length)) {
		vsnprintf(text->bytes + text->length, text->size - text->length, format, again);
		text->length += (size_t)length;
	}
	va_end(again);
	va_end(arguments);
}

void text_free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){0};
}

const char *text_time(const struct timespec *time, char out[TEXT_TIME_MAX])
{
	char second[TEXT_TIME_MAX - sizeof(".056Z")];
	struct tm utc;

	gmtime_r(&time->tv_sec, &utc);
	strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out, TEXT_TIME_MAX, "%s.%03uZ", second, (unsigned int)(time->tv_nsec / 1000000) % 1000);
	return out;
}

/* Length of the well-formed UTF-8 sequence at `at` (no surrogates, no overlong forms); 0: none, or the NUL. */
static size_t text_utf8_length(const char *at)
{
	const unsigned char *byte = (const unsigned char *)at;
	unsigned char least = 0x80, most = 0xbf; /* of the second byte; the others are always 80..bf */
	size_t length;

	if (byte[0] < 0x80)
		return byte[0] != 0;
	if (byte[0] >= 0xc2 && byte[0] <= 0xdf)
		length = 2;
	else if (byte[0] >= 0xe0 && byte[0] <= 0xef)
		length = 3;
	else if (byte[0] >= 0xf0 && byte[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (byte[0] == 0xe0)
		least = 0xa0;
	else if (byte[0] == 0xed)
		most = 0x9f;
	else if (byte[0] == 0xf0)
		least = 0x90;
	else if (byte[0] == 0xf4)
		most = 0x8f;
	if (byte[1] < least || byte[1] > most)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

/* Is the sequence of that length a control character (C0, DEL, C1)? */
static bool text_is_control(const char *at, size_t length)
{
	const unsigned char *byte = (const unsigned char *)at;

	if (length == 1)
		return byte[0] < 0x20 || byte[0] == 0x7f;
	return length == 2 && byte[0] == 0xc2 && byte[1] < 0xa0;
}

size_t text_escape(const char **at, enum text_escape how, char out[TEXT_ESCAPED_MAX])
{
	size_t length = text_utf8_length(*at), written = length;
	unsigned char byte = (unsigned char)**at;
	bool json = how == TEXT_ESCAPE_JSON;

	if (length == 0)
		written = (size_t)snprintf(out, TEXT_ESCAPED_MAX, json ? "\\ufffd" : "\\x%02x", byte);
	else if (json && (byte == '"' || byte == '\\'))
		written = (size_t)snprintf(out, TEXT_ESCAPED_MAX, "\\%c", byte);
	else if (text_is_control(*at, length)) /* the second of two bytes is the code point */
		written = (size_t)snprintf(out, TEXT_ESCAPED_MAX, json ? "\\u%04x" : "\\x%02x",
					   length == 2 ? (unsigned char)(*at)[1] : byte);
	else
		memcpy(out, *at, length);
	*at += length ? length : 1;
	return written;
}

uint64_t text_number(const char *text)
{
	uint64_t number;
	char rest;

	return text && *text >= '0' && *text <= '9' && sscanf(text, "%" SCNu64 "%c", &number, &rest) == 1 ? number : 0;
}
