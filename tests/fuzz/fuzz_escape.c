// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the escaping of names from the network for the log, JSON and terminals. A line stays one line of valid UTF-8
 * without a control character; a JSON string, read back here, is the text, with U+FFFD for invalid UTF-8.
 */
#include <assert.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "fuzz/inputs.h"

/*
 * Whether it is UTF-8, according to the C library. Stores its characters in *out and their number in *count, unless
 * NULL.
 */
static bool is_utf8(const char *text, size_t length, uint32_t *out, size_t *count)
{
	static iconv_t converter;
	char *in = (char *)text, *to = (char *)out;
	size_t left = length, room = 4 * (length + 1);

	if (!converter)
		converter = iconv_open("UCS-4LE", "UTF-8");
	assert(converter != (iconv_t)-1);
	iconv(converter, NULL, NULL, NULL, NULL);
	if (iconv(converter, &in, &left, &to, &room) == (size_t)-1)
		return false;
	*count = (size_t)(to - (char *)out) / 4;
	for (size_t i = 0; i < *count; i++)
		if (out[i] > 0x10ffff) /* glibc accepts more than Unicode */
			return false;
	return true;
}

static void check_line(const char *text)
{
	struct text line = {0};
	char escaped[TEXT_ESCAPED_MAX];
	uint32_t *characters;
	size_t count;

	text_add(&line, "%s", "");
	while (*text)
		text_add_bytes(&line, escaped, text_escape(&text, TEXT_ESCAPE_LINE, escaped));
	characters = malloc(4 * (line.length + 1));
	assert(characters && is_utf8(line.bytes, line.length, characters, &count));
	for (size_t i = 0; i < count; i++)
		assert(characters[i] >= 0x20 && (characters[i] < 0x7f || characters[i] > 0x9f));
	free(characters);
	text_free(&line);
}

/* Decodes a JSON string; false: not a JSON string. Knows only the escapes that the writer uses. */
static bool read_json(const char *json, size_t length, uint32_t *out, size_t *count)
{
	uint32_t *raw = malloc(4 * (length + 1));
	size_t raw_count, used = 0;
	bool good;

	assert(raw);
	good = length >= 2 && json[0] == '"' && json[length - 1] == '"' &&
	       is_utf8(json + 1, length - 2, raw, &raw_count);
	for (size_t i = 0; good && i < raw_count; i++) {
		uint32_t character = raw[i];

		if (character < 0x20 || character == '"') {
			good = false;
		} else if (character == '\\' && i + 1 < raw_count && (raw[i + 1] == '\\' || raw[i + 1] == '"')) {
			character = raw[++i];
		} else if (character == '\\') {
			good = i + 5 < raw_count && raw[i + 1] == 'u';
			character = 0;
			for (size_t digit = 2; good && digit < 6; digit++) {
				uint32_t c = raw[i + digit];

				good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
				character = character * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
			}
			i += 5;
		}
		out[used++] = character;
	}
	*count = used;
	free(raw);
	return good;
}

static void check_json(const char *text)
{
	struct text out = {0};
	struct json json = {.out = &out};
	size_t length = strlen(text), count, expected_count = 0, said_count;
	uint32_t *expected = malloc(4 * (length + 1)), *said;

	json_string(&json, NULL, text);
	said = malloc(4 * (out.length + 1));
	assert(expected && said && read_json(out.bytes, out.length, said, &said_count));
	while (*text) { /* the longest sequence that is UTF-8, or one byte */
		size_t bytes = strnlen(text, 4);

		while (bytes && !(is_utf8(text, bytes, expected + expected_count, &count) && count == 1))
			bytes--;
		if (!bytes)
			expected[expected_count] = 0xfffd;
		expected_count++;
		text += bytes ? bytes : 1;
	}
	assert(said_count == expected_count && memcmp(said, expected, 4 * said_count) == 0);
	free(expected);
	free(said);
	text_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size < 512 ? size : 512};
	char *text = input_text(&input);

	check_line(text);
	check_json(text);
	free(text);
	return 0;
}
