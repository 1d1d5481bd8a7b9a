/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of HTTP/1.1 that metrics need: GET or HEAD of /metrics, one request per connection. Requests are bounded,
 * and their headers ignored. No state, no I/O, any thread.
 */
#ifndef ALPNBPF_OPERATE_HTTP_H
#define ALPNBPF_OPERATE_HTTP_H

#include <stdbool.h>

#include "base/text.h"

enum http_status {
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_TOO_LARGE = 431,
	HTTP_UNAVAILABLE = 503,
};

/* Parses a request, without its final blank line. Sets *head for HEAD: answer with headers alone. */
enum http_status http_request_parse(const char *request, bool *head);

/* Writes a 200. Content-Length is the length of the body, even if that is not sent. */
void http_answer(struct text *out, const struct text *body, bool head);
/* Writes any other status, with a sentence as the body. */
void http_refuse(struct text *out, enum http_status status);

#endif
