// SPDX-License-Identifier: BSD-2-Clause
/* The requests and answers of the metrics server. Pure: reads a string, writes a text; any thread. */
#include "operate/http.h"

#include <string.h>

static const struct refusal {
	enum http_status status;
	const char *reason, *headers, *sentence;
} refusals[] = {
	{HTTP_BAD_REQUEST, "Bad Request", "", "not an HTTP/1.1 request"},
	{HTTP_NOT_FOUND, "Not Found", "", "only GET /metrics is supported"},
	{HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed", "Allow: GET, HEAD\r\n", "only GET /metrics is supported"},
	{HTTP_TOO_LARGE, "Request Header Fields Too Large", "", "request too long"},
	{HTTP_UNAVAILABLE, "Service Unavailable", "", "a worker did not answer in time, or memory ran out"},
};

/* The request line of HTTP/1.x: METHOD, a blank, TARGET, a blank, VERSION. */
struct request_line {
	size_t method_length;
	const char *target, *version;
};

static bool read_request_line(struct request_line *line, const char *request)
{
	const char *end = request + strcspn(request, "\r\n"), *blank = memchr(request, ' ', (size_t)(end - request));

	if (!blank)
		return false;
	line->method_length = (size_t)(blank - request);
	line->target = blank + 1;
	blank = memchr(line->target, ' ', (size_t)(end - line->target));
	if (!blank)
		return false;
	line->version = blank + 1;
	return strncmp(line->version, "HTTP/1.", strlen("HTTP/1.")) == 0;
}

static bool is_word(const char *at, size_t length, const char *word)
{
	return strlen(word) == length && strncmp(at, word, length) == 0;
}

enum http_status http_request_parse(const char *request, bool *head)
{
	struct request_line line;

	*head = false;
	if (!read_request_line(&line, request))
		return HTTP_BAD_REQUEST;
	*head = is_word(request, line.method_length, "HEAD");
	if (!*head && !is_word(request, line.method_length, "GET"))
		return HTTP_METHOD_NOT_ALLOWED;
	/* A query is accepted, and ignored. */
	if (!is_word(line.target, strcspn(line.target, " ?"), "/metrics"))
		return HTTP_NOT_FOUND;
	return HTTP_OK;
}

static void http_write_head(struct text *out, enum http_status status, const char *reason, const char *headers,
			    size_t length)
{
	text_add(out,
		 "HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		 (int)status, reason, headers, length);
}

void http_answer(struct text *out, const struct text *body, bool head)
{
	http_write_head(out, HTTP_OK, "OK", "", body->length);
	if (!head && body->length)
		text_add_bytes(out, body->bytes, body->length);
}

void http_refuse(struct text *out, enum http_status status)
{
	const struct refusal *refusal = refusals;

	while (refusal->status != status)
		refusal++;
	http_write_head(out, status, refusal->reason, refusal->headers, strlen(refusal->sentence) + strlen("\n"));
	text_add(out, "%s\n", refusal->sentence);
}
