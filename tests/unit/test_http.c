// SPDX-License-Identifier: BSD-2-Clause
/* The requests and answers of the metrics server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operate/http.h"

static void check_request(const char *request, enum http_status status, bool head)
{
	bool wants_head = !head;

	assert_int_equal(http_request_parse(request, &wants_head), status);
	if (status == HTTP_OK)
		assert_int_equal(wants_head, head);
}

static void test_requests(void **state)
{
	(void)state;
	check_request("GET /metrics HTTP/1.1\r\nHost: x", HTTP_OK, false);
	check_request("GET /metrics HTTP/1.0", HTTP_OK, false);
	check_request("GET /metrics?name[]=a HTTP/1.1", HTTP_OK, false);
	check_request("HEAD /metrics HTTP/1.1", HTTP_OK, true);
	check_request("GET / HTTP/1.1", HTTP_NOT_FOUND, false);
	check_request("GET /metricsandmore HTTP/1.1", HTTP_NOT_FOUND, false);
	check_request("GET /metrics/ HTTP/1.1", HTTP_NOT_FOUND, false);
	check_request("GET  HTTP/1.1", HTTP_NOT_FOUND, false);
	check_request("POST /metrics HTTP/1.1\r\nContent-Length: 0", HTTP_METHOD_NOT_ALLOWED, false);
	check_request("get /metrics HTTP/1.1", HTTP_METHOD_NOT_ALLOWED, false);
	check_request("GETS /metrics HTTP/1.1", HTTP_METHOD_NOT_ALLOWED, false);
	check_request("GET /metrics", HTTP_BAD_REQUEST, false);
	check_request("GET /metrics HTTP/2.0", HTTP_BAD_REQUEST, false);
	check_request("", HTTP_BAD_REQUEST, false);
	check_request("\r\n", HTTP_BAD_REQUEST, false);
	/* the version in another line is not the request's */
	check_request("GET /metrics?\r\nX: HTTP/1.1", HTTP_BAD_REQUEST, false);
	check_request("GET\r\n/metrics HTTP/1.1", HTTP_BAD_REQUEST, false);
}

static void test_answer(void **state)
{
	static const char expected[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
				       "Content-Length: 4\r\nConnection: close\r\n\r\na 1\n";
	struct text out = {0}, body = {0};

	(void)state;
	text_add(&body, "a 1\n");
	http_answer(&out, &body, false);
	assert_string_equal(out.bytes, expected);
	text_free(&out);
	http_answer(&out, &body, true);
	assert_int_equal(out.length, strlen(expected) - body.length);
	assert_memory_equal(out.bytes, expected, out.length);
	text_free(&out);
	text_free(&body);
}

static void test_refusals(void **state)
{
	static const enum http_status all[] = {HTTP_BAD_REQUEST, HTTP_NOT_FOUND, HTTP_METHOD_NOT_ALLOWED,
					       HTTP_TOO_LARGE, HTTP_UNAVAILABLE};
	struct text out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char length[64];
		const char *body;

		http_refuse(&out, all[i]);
		body = strstr(out.bytes, "\r\n\r\n");
		assert_non_null(body);
		snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(body + 4));
		assert_non_null(strstr(out.bytes, length));
		assert_int_equal(strtol(out.bytes + strlen("HTTP/1.1 "), NULL, 10), all[i]);
		text_free(&out);
	}
	http_refuse(&out, HTTP_METHOD_NOT_ALLOWED);
	assert_non_null(strstr(out.bytes, "\r\nAllow: GET, HEAD\r\n"));
	text_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
