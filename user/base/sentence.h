/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An error as a person will read it: what happened, to what, why, and what to do. A function with such errors takes a
 * `struct sentence *` as its last parameter and fills it when it fails. The caller owns the sentence; a zeroed one is
 * empty. Any thread.
 */
#ifndef ALPNBPF_BASE_SENTENCE_H
#define ALPNBPF_BASE_SENTENCE_H

#include <stdbool.h>

#define SENTENCE_MAX 1024 /* what a log line holds */

struct sentence {
	char text[SENTENCE_MAX]; /* NUL-terminated; ends with "..." if it was too long */
};

/* An argument may be the sentence's own text: the new text is complete before it replaces the old one. */
void sentence_set(struct sentence *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and returns error (-errno), for `return sentence_error(why, -EINVAL, "...");`. */
int sentence_error(struct sentence *sentence, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, and returns false, for parsers, which return bool. */
bool sentence_refuse(struct sentence *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
