// SPDX-License-Identifier: BSD-2-Clause
/*
 * hello_describe(): what it reads from complete, cut and malformed hellos; its result is the parser's. Also the hex
 * text that `inspect` reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "hello/describe.h"
#include "hello/hex_text.h"
#include "hellos.h"

static struct wire stream;
static struct hello hello;

/* Describe a copy of exactly this length, so that a sanitizer sees a read beyond it. */
static void describe(const uint8_t *bytes, size_t length)
{
	uint8_t *copy = malloc(length ? length : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	hello_describe(&hello, copy, length, NULL);
	free(copy);
}

static void describe_message(void (*message)(struct wire *w), uint32_t fragment)
{
	const struct hello_case c = {.message = message};

	hello_stream(&stream, &c, fragment);
	describe(stream.bytes, stream.length);
}

static void assert_alpn(const char *const *names)
{
	size_t position = 0, length;
	const uint8_t *name;

	for (; *names; names++) {
		assert_true(hello_alpn_next(&hello, &position, &name, &length));
		assert_int_equal(length, strlen(*names));
		assert_memory_equal(name, *names, length);
	}
	assert_false(hello_alpn_next(&hello, &position, &name, &length));
}

static void test_acme(void **state)
{
	(void)state;
	/* the same in any records */
	for (uint32_t fragment = 1; fragment <= 4096; fragment *= 8) {
		describe_message(message_acme, fragment);
		assert_int_equal(hello.result, CLIENTHELLO_ACME);
		assert_true(hello.complete);
		assert_false(hello.grease);
		assert_int_equal(hello.legacy_version, 0x0303);
		assert_int_equal(hello.version_count, 2);
		assert_int_equal(hello.versions[0], 0x0304);
		assert_int_equal(hello.versions[1], 0x0303);
		assert_string_equal(hello.server_name, "example.org");
		assert_alpn((const char *const[]){"acme-tls/1", NULL});
		assert_int_equal(hello.records, (hello.size + fragment - 1) / fragment);
		assert_int_equal(hello.size + 5 * hello.records, stream.length);
	}
}

static void test_web(void **state)
{
	(void)state;
	describe_message(message_web, CLIENTHELLO_RECORD_MAX);
	assert_int_equal(hello.result, CLIENTHELLO_HTTPS);
	assert_true(hello.complete);
	assert_string_equal(hello.server_name, "www.example.org");
	assert_alpn((const char *const[]){"h2", "http/1.1", NULL});
}

static void test_without_extensions(void **state)
{
	(void)state;
	describe_message(message_no_extensions, CLIENTHELLO_RECORD_MAX);
	assert_int_equal(hello.result, CLIENTHELLO_HTTPS);
	assert_true(hello.complete);
	assert_int_equal(hello.legacy_version, 0x0303);
	assert_int_equal(hello.version_count, 0);
	assert_string_equal(hello.server_name, "");
	assert_alpn((const char *const[]){NULL});
}

/* GREASE is reported, and left out of the versions; a GREASE protocol name is listed like any other. */
static void test_grease(void **state)
{
	(void)state;
	describe_message(message_grease_web, CLIENTHELLO_RECORD_MAX);
	assert_true(hello.grease);
	assert_int_equal(hello.version_count, 2);
	assert_int_equal(hello.versions[0], 0x0304);
	assert_alpn((const char *const[]){"\x1a\x1a", "h2", "http/1.1", NULL});
}

/* The first ALPN extension counts, even if it is malformed. */
static void test_first_list(void **state)
{
	(void)state;
	describe_message(message_second_acme, CLIENTHELLO_RECORD_MAX);
	assert_alpn((const char *const[]){"h2", "http/1.1", NULL});
	describe_message(message_alpn_acme_then_empty, CLIENTHELLO_RECORD_MAX);
	assert_int_equal(hello.result, CLIENTHELLO_MALFORMED);
	assert_alpn((const char *const[]){NULL});
}

/* Several names of 60 bytes: as many whole names as fit. */
static void message_long_list(struct wire *w)
{
	static const char name[] = "............................................................";
	const struct name names[] = {{name, 60}, {name, 60}, {name, 60}, {name, 60}, {name, 60}, {NULL, 0}};

	message_alpn(w, names);
}

static void test_long_lists(void **state)
{
	(void)state;
	describe_message(message_long_list, CLIENTHELLO_RECORD_MAX);
	assert_int_equal(hello.result, CLIENTHELLO_HTTPS);
	assert_true(hello.alpn_truncated);
	assert_int_equal(hello.alpn_length, 4 * 61);

	describe_message(message_longest_name, CLIENTHELLO_RECORD_MAX);
	assert_false(hello.alpn_truncated);
	assert_int_equal(hello.alpn_length, 256);
}

static const char *described_name;

static void message_with_sni(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, described_name);
	hello_end(w, open);
}

static void test_server_names(void **state)
{
	static char longest[HELLO_SERVER_NAME_MAX + 1], too_long[HELLO_SERVER_NAME_MAX + 2];
	static const char *const refused[] = {"", "a b", "a\tb", "a\x7f", "caf\xc3\xa9", "a\nroute acme", too_long};

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	memset(too_long, 'a', sizeof(too_long) - 1);
	described_name = longest;
	describe_message(message_with_sni, CLIENTHELLO_RECORD_MAX);
	assert_string_equal(hello.server_name, longest);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		described_name = refused[i];
		describe_message(message_with_sni, CLIENTHELLO_RECORD_MAX);
		assert_int_equal(hello.result, CLIENTHELLO_HTTPS);
		assert_string_equal(hello.server_name, "");
	}
}

static void test_sizes(void **state)
{
	(void)state;
	describe_message(message_largest, 1);
	assert_int_equal(hello.result, CLIENTHELLO_ACME);
	assert_true(hello.complete);
	assert_int_equal(hello.size, 4 + CLIENTHELLO_BODY_MAX);
	assert_int_equal(hello.records, hello.size);

	describe_message(message_16_mib, CLIENTHELLO_RECORD_MAX);
	assert_int_equal(hello.result, CLIENTHELLO_TOO_LARGE);
	assert_false(hello.complete);
	assert_int_equal(hello.size, 4 + 0xffffff);
	assert_int_equal(hello.legacy_version, 0);
}

/* For every prefix of every case: the parser's result, and no name that contradicts it. */
static void test_agreement(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		hello_stream(&stream, &hello_cases[i], 256);
		for (uint32_t length = 0; length <= stream.length; length += length < 700 ? 1 : 997) {
			struct clienthello ch = {0};
			size_t position = 0, name_length;
			const uint8_t *name;

			describe(stream.bytes, length);
			assert_int_equal(hello.result, clienthello_feed(&ch, stream.bytes, length, NULL));
			assert_true(hello.result != CLIENTHELLO_ACME || hello.complete);
			assert_true(hello.result != CLIENTHELLO_MORE || !hello.complete);
			while (hello_alpn_next(&hello, &position, &name, &name_length))
				if (name_length == 10 && !memcmp(name, "acme-tls/1", 10))
					assert_int_not_equal(hello.result, CLIENTHELLO_HTTPS);
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int result = CLIENTHELLO_MORE; result < CLIENTHELLO_RESULTS; result++) {
		assert_string_not_equal(hello_result_name(result), "unknown");
		assert_true(strlen(hello_result_reason(result)) > 20);
		struct clienthello ch = {.result = (__u8)result, .rule = 7};
		enum route routes[CLIENTHELLO_RESULTS] = {[CLIENTHELLO_MORE] = ROUTE_UNDECIDED,
							  [CLIENTHELLO_ACME] = ROUTE_ACME,
							  [CLIENTHELLO_RULE] = ROUTE_RULE + 7};

		assert_int_equal(route_of_hello(&ch), routes[result] || !result ? routes[result] : ROUTE_HTTPS);
	}
	assert_string_equal(hello_version_name(0x0304), "TLS 1.3");
	assert_null(hello_version_name(0x7f1c));
}

static void test_escape(void **state)
{
	static const uint8_t bytes[] = {'h', '2', '\0', ' ', ',', '"', '\\', 0x7f, 0xff, '/'};
	char text[64], small[7];

	(void)state;
	assert_int_equal(hello_escape(text, sizeof(text), bytes, sizeof(bytes)), 3 + 7 * 4);
	assert_string_equal(text, "h2\\x00\\x20\\x2c\\x22\\x5c\\x7f\\xff/");
	assert_int_equal(hello_escape(small, sizeof(small), bytes, sizeof(bytes)), 6);
	assert_string_equal(small, "h2\\x00");
	assert_int_equal(hello_escape(small, 6, bytes, sizeof(bytes)), 2);
	assert_int_equal(hello_escape(small, 1, bytes, sizeof(bytes)), 0);
	assert_int_equal(hello_escape(NULL, 0, bytes, sizeof(bytes)), 0);
}

/* The same bytes in every supported form. */
static void test_hex(void **state)
{
	static const char *const spellings[] = {
		"160301000a01000006030348 61636d", /* plain, in pieces */
		"16:03:01:00:0A:01:00:00:06:03:03:48:61:63:6D\n",
		"0x16, 0x03, 0x01, 0x00, 0x0a, 0x01, 0x00, 0x00,\n0x06, 0x03, 0x03, 0x48, 0x61, 0x63, 0x6d\n",
		"\\x16\\x03\\x01\\x00\\x0a\\x01\\x00\\x00\\x06\\x03\\x03\\x48\\x61\\x63\\x6d",
		"00000000: 1603 0100 0a01 0000 0603 0348 6163 6d    ...........Hacm\n",                      /* xxd */
		"00000000  16 03 01 00 0a 01 00 00  06 03 03 48 61 63 6d     |...........Hacm|\n0000000f\n", /* hexdump
														-C */
		"0000000 16 03 01 00 0a 01 00 00 06 03 03 48 61 63 6d\r\n0000017\r\n",   /* od -t x1 */
		"\t0x0000:  1603 0100 0a01 0000 0603 0348 6163 6d    ...........Hacm\n", /* tcpdump -X */
	};
	static const uint8_t expected[] = "\x16\x03\x01\x00\x0a\x01\x00\x00\x06\x03\x03Hacm";
	static uint8_t out[CLIENTHELLO_WIRE_MAX + 16];
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		assert_int_equal(hex_decode(spellings[i], strlen(spellings[i]), out, &length), HEX_DECODED);
		assert_int_equal(length, sizeof(expected) - 1);
		assert_memory_equal(out, expected, length);
	}
}

/* A full line of a dump is followed by its characters, which may look like hex. */
static void test_hex_characters(void **state)
{
	static const char dump[] = "00000000: 6161 6161 6161 6161 6161 6161 6161 6161  aaaaaaaaaaaaaaaa\n"
				   "00000010: 6262                                     bb\n";
	static uint8_t out[CLIENTHELLO_WIRE_MAX + 16];
	size_t length;

	(void)state;
	assert_int_equal(hex_decode(dump, sizeof(dump) - 1, out, &length), HEX_DECODED);
	assert_int_equal(length, 18);
	assert_memory_equal(out, "aaaaaaaaaaaaaaaabb", 18);
}

static void test_not_hex(void **state)
{
	static const char *const others[] = {"",   "\n",      "GET / HTTP/1.1\r\n", "160", "16 3", "\x16\x03\x01",
					     "0x", "16 03 zz"};
	static const char gap[] = "00000000  16 03 01 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n";
	static char endless[4 * CLIENTHELLO_WIRE_MAX];
	static uint8_t out[CLIENTHELLO_WIRE_MAX + 16];
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(hex_decode(others[i], strlen(others[i]), out, &length), HEX_NONE);
	assert_int_equal(hex_decode(gap, sizeof(gap) - 1, out, &length), HEX_INCOMPLETE);
	memset(endless, '0', sizeof(endless));
	assert_int_equal(hex_decode(endless, sizeof(endless), out, &length), HEX_DECODED);
	assert_int_equal(length, CLIENTHELLO_WIRE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acme),
		cmocka_unit_test(test_web),
		cmocka_unit_test(test_without_extensions),
		cmocka_unit_test(test_grease),
		cmocka_unit_test(test_first_list),
		cmocka_unit_test(test_long_lists),
		cmocka_unit_test(test_server_names),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_hex_characters),
		cmocka_unit_test(test_not_hex),
	};

	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
