/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a person will read about an error: what happened, to what, why, and what to do. A function whose errors
 * are read by a person takes a `struct sentence *` as its last parameter, and fills it when it fails. The
 * caller owns it; a zeroed one is empty. Any thread.
 */
#ifndef ALPNBPF_BASE_SENTENCE_H
#define ALPNBPF_BASE_SENTENCE_H

#include <stdbool.h>

#define SENTENCE_MAX 1024 /* what a log line holds */

struct sentence {
	char text[SENTENCE_MAX]; /* ends with a NUL; what was too long ends with "..." */
};

/* The arguments may be the text of the same sentence: it is replaced only when all of it is made. */
void sentence_set(struct sentence *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same. Returns error (-errno): return sentence_error(why, -EINVAL, "...") */
int sentence_error(struct sentence *sentence, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, for parsers, which return bool. Returns false. */
bool sentence_refuse(struct sentence *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
