/* SPDX-License-Identifier: BSD-2-Clause */
/* Splits an input of a fuzzer, from its front. */
#ifndef ALPNBPF_FUZZ_INPUTS_H
#define ALPNBPF_FUZZ_INPUTS_H

#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* The next bytes, up to 4, as a number; missing bytes are 0. */
uint32_t input_number(struct input *input, size_t bytes);
/* The next `size` bytes; missing bytes are 0. */
void input_bytes(struct input *input, void *out, size_t size);
/*
 * The bytes before the next newline, or the rest, in memory of exactly that size, so that a sanitizer finds an overrun.
 * The caller frees it. NULL: nothing is left. It may contain a NUL, which ends it as a string.
 */
char *input_line(struct input *input);
/* The rest of the input, likewise. */
char *input_text(struct input *input);

/* Called by libFuzzer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
