/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of HTTP/1.1 as metrics need: GET or HEAD of /metrics, a connection a scrape. Requests are bounded, their
 * headers mean nothing to us. No state, no I/O, any thread.
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

/* What the request (up to its blank line) gets. HTTP_OK sets *head: of the metrics, headers alone are wanted. */
enum http_status http_request_parse(const char *request, bool *head);

/* The metrics. Content-Length is the body's, sent or not. */
void http_answer(struct text *out, const struct text *body, bool head);
/* Any other status than HTTP_OK, with a sentence as the body. */
void http_refuse(struct text *out, enum http_status status);

#endif
