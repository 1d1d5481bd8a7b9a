/* SPDX-License-Identifier: BSD-2-Clause */
/* A text that grows, for answers whose length nobody knows ahead. One owner; a zeroed struct is empty. */
#ifndef ALPNBPF_BASE_TEXT_H
#define ALPNBPF_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
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

/* Length of the well-formed UTF-8 sequence at `at` (no surrogates, no overlong forms); 0: none, or the NUL. */
size_t text_utf8_length(const char *at);
/* Is the sequence of that length a control character (C0, DEL, C1)? */
bool text_is_control(const char *at, size_t length);

#endif
