/* SPDX-License-Identifier: BSD-2-Clause */
/* An input of a fuzzer, taken apart from its front. */
#ifndef ALPNBPF_FUZZ_INPUTS_H
#define ALPNBPF_FUZZ_INPUTS_H

#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* The next bytes, up to 4, as a number; what is not there is 0. */
uint32_t input_number(struct input *input, size_t bytes);
/* The next `size` bytes; what is not there is 0. */
void input_bytes(struct input *input, void *out, size_t size);
/*
 * What comes before the next newline, or all that is left; in memory of its very size, so that a byte too far is found.
 * The caller's to free. NULL: nothing is left. A NUL in it ends it for most.
 */
char *input_line(struct input *input);
/* All that is left, likewise. */
char *input_text(struct input *input);

/* What libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
