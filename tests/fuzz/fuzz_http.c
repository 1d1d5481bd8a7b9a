// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the requests to the metrics server against equivalent regular expressions; and its answers, whose
 * Content-Length must be right.
 */
#include <assert.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/inputs.h"
#include "operate/http.h"

static bool matches(const char *request, const char *expression, regex_t *compiled, bool *is_compiled)
{
	if (!*is_compiled)
		assert(regcomp(compiled, expression, REG_EXTENDED | REG_NOSUB) == 0);
	*is_compiled = true;
	return regexec(compiled, request, 0, NULL, 0) == 0;
}

#define MATCHES(request, expression)                                                                                   \
	({                                                                                                             \
		static regex_t compiled;                                                                               \
		static bool is_compiled;                                                                               \
		matches(request, expression, &compiled, &is_compiled);                                                 \
	})

#define WORD "[^ \r\n]*"

static enum http_status expected_status(const char *request)
{
	if (!MATCHES(request, "^" WORD " " WORD " HTTP/1[.]"))
		return HTTP_BAD_REQUEST;
	if (!MATCHES(request, "^(GET|HEAD) "))
		return HTTP_METHOD_NOT_ALLOWED;
	return MATCHES(request, "^" WORD " /metrics([?]" WORD ")? ") ? HTTP_OK : HTTP_NOT_FOUND;
}

/* The body begins after the first empty line. */
static size_t body_length(const struct text *answer)
{
	const char *end = memmem(answer->bytes, answer->length, "\r\n\r\n", 4);

	assert(end);
	return answer->length - (size_t)(end + 4 - answer->bytes);
}

static size_t announced_length(const struct text *answer)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = memmem(answer->bytes, answer->length, name, strlen(name));

	assert(at);
	return strtoul(at + strlen(name), NULL, 10);
}

static void check_answer(enum http_status status, bool head, const uint8_t *bytes, size_t size)
{
	struct text answer = {0}, body = {0};

	text_add_bytes(&body, (const char *)bytes, size);
	if (status == HTTP_OK)
		http_answer(&answer, &body, head);
	else
		http_refuse(&answer, status);
	assert(!answer.failed && strncmp(answer.bytes, "HTTP/1.1 ", 9) == 0);
	assert(strtoul(answer.bytes + 9, NULL, 10) == (unsigned long)status);
	assert(body_length(&answer) == (status == HTTP_OK && head ? 0 : announced_length(&answer)));
	if (status == HTTP_OK)
		assert(announced_length(&answer) == size);
	if (status == HTTP_OK && !head)
		assert(memcmp(answer.bytes + answer.length - size, bytes, size) == 0);
	text_free(&answer);
	text_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *request = input_text(&input);
	bool head;
	enum http_status status = http_request_parse(request, &head);

	assert(status == expected_status(request));
	if (status == HTTP_OK)
		assert(head == (request[0] == 'H'));
	check_answer(status, head, data, size);
	free(request);
	return 0;
}
