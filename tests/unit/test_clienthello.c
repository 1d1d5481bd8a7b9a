// SPDX-License-Identifier: BSD-2-Clause
/*
 * The ClientHello parser, compiled natively: each case of hellos.h has its result for every cut of the bytes into feeds
 * or records, and has it at the earliest possible byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hellos.h"

static struct wire stream, message;

static void feed_in_chunks(struct clienthello *ch, const struct wire *w, uint32_t chunk)
{
	for (uint32_t at = 0; at < w->length; at += chunk)
		clienthello_feed(ch, w->bytes + at, w->length - at < chunk ? w->length - at : chunk, NULL);
}

#define check(name, at, actual, expected)                                                                              \
	do {                                                                                                           \
		if ((actual) != (expected))                                                                            \
			fail_msg("%s, %s at %u: result %d, not %d", name, __func__, (unsigned)(at), (int)(actual),     \
				 (int)(expected));                                                                     \
	} while (0)

/* How many bytes of the stream the decision needs; the stream's length + 1 if there is none. */
static uint32_t decided_after(const struct wire *w)
{
	struct clienthello ch = {0};

	for (uint32_t at = 0; at < w->length; at++)
		if (clienthello_feed(&ch, w->bytes + at, 1, NULL) != CLIENTHELLO_MORE)
			return at + 1;
	return w->length + 1;
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		struct clienthello ch = {0};

		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		check(hello_cases[i].name, 0, clienthello_feed(&ch, stream.bytes, stream.length, NULL),
		      hello_cases[i].result);
	}
}

/* Prefixes are undecided up to some byte, and have the final result from there on. */
static void test_truncations(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		const struct hello_case *c = &hello_cases[i];
		uint32_t decided;

		hello_stream(&stream, c, CLIENTHELLO_RECORD_MAX);
		decided = decided_after(&stream);
		assert_in_range(decided, 1, stream.length);
		for (uint32_t length = 0; length <= stream.length; length++) {
			struct clienthello ch = {0};

			check(c->name, length, clienthello_feed(&ch, stream.bytes, length, NULL),
			      length < decided ? CLIENTHELLO_MORE : c->result);
		}
	}
}

/* Any cut of the stream in two, and any chunk size, leaves the same state. */
static void test_segments(void **state)
{
	static const uint32_t chunks[] = {1, 2, 3, 4, 5, 7, 64, 1000, 1460};

	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		const struct hello_case *c = &hello_cases[i];
		struct clienthello whole = {0};

		hello_stream(&stream, c, CLIENTHELLO_RECORD_MAX);
		clienthello_feed(&whole, stream.bytes, stream.length, NULL);
		for (uint32_t cut = 0; cut <= stream.length; cut++) {
			struct clienthello ch = {0};

			clienthello_feed(&ch, stream.bytes, cut, NULL);
			clienthello_feed(&ch, stream.bytes + cut, stream.length - cut, NULL);
			check(c->name, cut, ch.result, c->result);
			assert_memory_equal(&ch, &whole, sizeof(ch));
		}
		for (size_t j = 0; j < sizeof(chunks) / sizeof(chunks[0]); j++) {
			struct clienthello ch = {0};

			feed_in_chunks(&ch, &stream, chunks[j]);
			check(c->name, chunks[j], ch.result, c->result);
			assert_memory_equal(&ch, &whole, sizeof(ch));
		}
	}
}

/* Records of any size, from one byte on, in one feed and in feeds of one byte. */
static void test_records(void **state)
{
	static const uint32_t fragments[] = {1, 2, 3, 4, 5, 7, 64, 255, 1000, 4096};

	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		const struct hello_case *c = &hello_cases[i];

		for (size_t j = 0; c->message && j < sizeof(fragments) / sizeof(fragments[0]); j++) {
			struct clienthello whole = {0}, bytewise = {0};

			hello_stream(&stream, c, fragments[j]);
			check(c->name, fragments[j], clienthello_feed(&whole, stream.bytes, stream.length, NULL),
			      c->result);
			feed_in_chunks(&bytewise, &stream, 1);
			check(c->name, fragments[j], bytewise.result, c->result);
		}
	}
}

/* Every cut of the message into two records. */
static void test_two_records(void **state)
{
	static struct wire first, second;

	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		const struct hello_case *c = &hello_cases[i];

		if (!c->message)
			continue;
		message.length = 0;
		c->message(&message);
		for (uint32_t cut = 1; cut < message.length; cut++) {
			struct clienthello ch = {0};

			first.length = second.length = stream.length = 0;
			put_bytes(&first, message.bytes, cut);
			put_bytes(&second, message.bytes + cut, message.length - cut);
			put_records(&stream, &first, CLIENTHELLO_RECORD_MAX);
			put_records(&stream, &second, CLIENTHELLO_RECORD_MAX);
			check(c->name, cut, clienthello_feed(&ch, stream.bytes, stream.length, NULL), c->result);
		}
	}
}

/* A decision is final: later bytes are not read. */
static void test_sticky(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		struct clienthello ch = {0}, before;

		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		clienthello_feed(&ch, stream.bytes, stream.length, NULL);
		before = ch;
		check(hello_cases[i].name, 0, clienthello_feed(&ch, stream.bytes, stream.length, NULL),
		      hello_cases[i].result);
		assert_memory_equal(&ch, &before, sizeof(ch));
	}
}

static void test_nothing(void **state)
{
	struct clienthello ch = {0}, start = {0};

	(void)state;
	assert_int_equal(clienthello_feed(&ch, NULL, 0, NULL), CLIENTHELLO_MORE);
	assert_memory_equal(&ch, &start, sizeof(ch));
	assert_true(sizeof(ch) <= 48); /* a cache line, with the worker's fields of a flow */
}

static const struct hello_case *case_named(const char *name)
{
	for (size_t i = 0; i < HELLO_CASES; i++)
		if (!strcmp(hello_cases[i].name, name))
			return &hello_cases[i];
	fail_msg("no case %s", name);
	return NULL;
}

/* At which byte each kind of decision falls. */
static void test_earliest(void **state)
{
	static const struct {
		const char *name;
		uint32_t bytes;
	} cases[] = {
		{"http", 1},              /* record type */
		{"major_2", 2},           /* record version */
		{"server_hello", 5 + 1},  /* msg_type */
		{"one_too_large", 5 + 4}, /* message length: does not wait for the body */
		{"16_mib", 5 + 4},
		{"empty_record", 5}, /* record length */
		{"long_record", 5},
		{"long_session_id", 5 + 4 + 2 + 32 + 1},
		/* the lengths of the extension, of a name, and of the last name of a list without acme-tls/1 */
		{"alpn_one_byte", 5 + 4 + 2 + 32 + 33 + 10 + 2 + 2 + 4},
		{"alpn_name_overrun", 5 + 4 + 2 + 32 + 33 + 10 + 2 + 2 + 4 + 2 + 1},
		{"second_acme", 5 + 4 + 2 + 32 + 33 + 10 + 2 + 2 + 4 + 2 + 3 + 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		hello_stream(&stream, case_named(cases[i].name), CLIENTHELLO_RECORD_MAX);
		check(cases[i].name, 0, decided_after(&stream), cases[i].bytes);
	}
}

/* The responder gets complete hellos only, so the result ACME comes at the last byte of the message. */
static void test_acme_needs_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		const struct hello_case *c = &hello_cases[i];

		if (c->result != CLIENTHELLO_ACME || !c->message)
			continue;
		for (uint32_t fragment = 1; fragment <= CLIENTHELLO_RECORD_MAX; fragment *= 4) {
			hello_stream(&stream, c, fragment);
			check(c->name, fragment, decided_after(&stream), stream.length);
		}
	}
}

/* The bound that the BPF loop relies on: the longest message in the smallest records. */
static void test_wire_max(void **state)
{
	(void)state;
	hello_stream(&stream, case_named("largest"), 1);
	assert_int_equal(stream.length, CLIENTHELLO_WIRE_MAX);
	assert_int_equal(decided_after(&stream), CLIENTHELLO_WIRE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),  cmocka_unit_test(test_whole),    cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_segments), cmocka_unit_test(test_records),  cmocka_unit_test(test_two_records),
		cmocka_unit_test(test_sticky),   cmocka_unit_test(test_earliest), cmocka_unit_test(test_acme_needs_all),
		cmocka_unit_test(test_wire_max),
	};

	return cmocka_run_group_tests_name("clienthello", tests, NULL, NULL);
}
