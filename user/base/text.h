/* SPDX-License-Identifier: BSD-2-Clause */
/* A string that grows, for answers of any length, and UTF-8 checks. One owner; a zeroed struct is empty. */
#ifndef ALPNBPF_BASE_TEXT_H
#define ALPNBPF_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct text {
	char *bytes; /* owned; NUL-terminated, or NULL while empty */
	size_t length, size;
	bool failed; /* out of memory: the text is incomplete */
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const char *bytes, size_t length);
void text_free(struct text *text);

#define TEXT_TIME_MAX 32 /* 2026-11-24T20:26:53.056Z */
/* Formats a time so, in UTC. Returns out. */
const char *text_time(const struct timespec *time, char out[TEXT_TIME_MAX]);

/* Parses a decimal number. 0 if the text is NULL or anything else. */
uint64_t text_number(const char *text);

enum text_escape { TEXT_ESCAPE_LINE, TEXT_ESCAPE_JSON };
#define TEXT_ESCAPED_MAX 8
/*
 * Writes the next character of *at, escaped for a line of text (control characters and bytes that are not UTF-8 become
 * \xNN) or for a JSON string (RFC 8259), and moves *at past it. *at must not be at the terminating NUL. Returns the
 * length written.
 */
size_t text_escape(const char **at, enum text_escape how, char out[TEXT_ESCAPED_MAX]);

#endif
