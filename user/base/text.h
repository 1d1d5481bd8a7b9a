/* SPDX-License-Identifier: BSD-2-Clause */
/* A text that grows, for answers of any length. One owner; a zeroed struct is empty. */
#ifndef ALPNBPF_BASE_TEXT_H
#define ALPNBPF_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct text {
	char *bytes; /* owned; ends with a NUL where there is any */
	size_t length, size;
	bool failed; /* no memory: what is there is not all of it */
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const char *bytes, size_t length);
void text_free(struct text *text);

#define TEXT_TIME_MAX 32 /* 2026-11-24T20:26:53.056Z */
/* That, in UTC. Returns out. */
const char *text_time(const struct timespec *time, char out[TEXT_TIME_MAX]);

/* A whole decimal number; 0 where it is none, or NULL. */
uint64_t text_number(const char *text);

enum text_escape { TEXT_ESCAPE_LINE, TEXT_ESCAPE_JSON };
#define TEXT_ESCAPED_MAX 8
/*
 * The next character of *at, which is moved behind it, as it may stand in a line of text (a control character, or a
 * byte that is not UTF-8, as \xNN), or in a string of JSON (RFC 8259). *at must not be at its end. Returns its length.
 */
size_t text_escape(const char **at, enum text_escape how, char out[TEXT_ESCAPED_MAX]);

/* Length of the well-formed UTF-8 sequence at `at` (no surrogates, no overlong forms); 0: none, or the NUL. */
size_t text_utf8_length(const char *at);
/* Is the sequence of that length a control character (C0, DEL, C1)? */
bool text_is_control(const char *at, size_t length);

#endif
