// SPDX-License-Identifier: BSD-2-Clause
/* Splits inputs. See inputs.h. */
#include "fuzz/inputs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void input_bytes(struct input *input, void *out, size_t size)
{
	size_t count = size < input->left ? size : input->left;

	memset(out, 0, size);
	memcpy(out, input->at, count);
	input->at += count;
	input->left -= count;
}

uint32_t input_number(struct input *input, size_t bytes)
{
	uint32_t number = 0;

	input_bytes(input, &number, bytes);
	return number;
}

static char *copy(struct input *input, size_t length)
{
	char *text = malloc(length + 1);

	assert(text);
	memcpy(text, input->at, length);
	text[length] = '\0';
	input->at += length;
	input->left -= length;
	return text;
}

char *input_line(struct input *input)
{
	const uint8_t *newline = input->left ? memchr(input->at, '\n', input->left) : NULL;
	char *line;

	if (!input->left)
		return NULL;
	line = copy(input, newline ? (size_t)(newline - input->at) : input->left);
	if (newline) {
		input->at++;
		input->left--;
	}
	return line;
}

char *input_text(struct input *input)
{
	return copy(input, input->left);
}
