// SPDX-License-Identifier: BSD-2-Clause
/*
 * The ClientHello parser as BPF against the same parser natively: each case of hellos.h, cut in many ways, with and
 * without rules, must give the same result and the same state after each segment. Needs CAP_BPF and CAP_NET_ADMIN;
 * skipped without them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <bpf/bpf.h>

/* bpftool's output does not compile with -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/clienthello.skel.h"
#pragma GCC diagnostic pop
#include "hellos.h"
#include "hello/rules.h"

#define ETHERNET    14
#define SEGMENT_MAX 3000 /* a test run takes at most a page, less headroom and skb_shared_info */

static struct alpnbpf_clienthello *skel;
static int program, map;
static struct wire stream;
static const struct clienthello_rules *table; /* in use, NULL: none */

static void set_state(const struct clienthello *ch)
{
	__u32 key = 0;

	assert_int_equal(bpf_map_update_elem(map, &key, ch, BPF_ANY), 0);
}

static struct clienthello get_state(void)
{
	struct clienthello ch;
	__u32 key = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &key, &ch), 0);
	return ch;
}

/* One segment through the program, between `before` and `behind` bytes that do not belong to it. */
static enum clienthello_result feed(const uint8_t *bytes, uint32_t length, uint32_t before, uint32_t behind)
{
	uint8_t frame[ETHERNET + SEGMENT_MAX + 64];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = before + length + behind);

	assert_true(before >= ETHERNET && before + length + behind <= sizeof(frame));
	memset(frame, 0x16, sizeof(frame));
	memcpy(frame + before, bytes, length);
	skel->data->payload_offset = before;
	skel->bss->payload_trailer = behind;
	assert_int_equal(bpf_prog_test_run_opts(program, &opts), 0);
	return (enum clienthello_result)opts.retval;
}

/* The stream through both parsers, in segments of `chunk` bytes, the first of `first`; they agree after each. */
static void compare(const struct hello_case *c, uint32_t first, uint32_t chunk, uint32_t before, uint32_t behind)
{
	struct clienthello native = {0};

	set_state(&native);
	for (uint32_t at = 0, count = first; at < stream.length && !native.result; at += count, count = chunk) {
		enum clienthello_result result;
		struct clienthello ch;

		if (count > stream.length - at)
			count = stream.length - at;
		clienthello_feed(&native, stream.bytes + at, count, table);
		result = feed(stream.bytes + at, count, before, behind);
		ch = get_state();
		if (result != native.result || memcmp(&ch, &native, sizeof(ch)))
			fail_msg("%s, segments of %u then %u, at %u: BPF says %d, native %d", c->name, first, chunk, at,
				 (int)result, (int)native.result);
	}
	if (!table && native.result != c->result)
		fail_msg("%s, segments of %u then %u: result %d, not %d", c->name, first, chunk, (int)native.result,
			 (int)c->result);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		compare(&hello_cases[i], SEGMENT_MAX, SEGMENT_MAX, ETHERNET, 0);
	}
}

/* Every cut in two; for longer streams than two segments, the cuts near the start, where the fields are. */
static void test_splits(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		for (uint32_t cut = 1; cut < stream.length && cut < 400; cut++)
			compare(&hello_cases[i], cut, SEGMENT_MAX, ETHERNET, 0);
	}
}

static void test_segments(void **state)
{
	static const uint32_t chunks[] = {1, 2, 3, 4, 5, 7, 64, 1000, 1460};

	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		for (size_t j = 0; j < sizeof(chunks) / sizeof(chunks[0]); j++)
			compare(&hello_cases[i], chunks[j], chunks[j], ETHERNET, 0);
	}
}

static void test_records(void **state)
{
	static const uint32_t fragments[] = {1, 2, 3, 7, 64, 1000};

	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		for (size_t j = 0; j < sizeof(fragments) / sizeof(fragments[0]); j++) {
			hello_stream(&stream, &hello_cases[i], fragments[j]);
			compare(&hello_cases[i], SEGMENT_MAX, SEGMENT_MAX, ETHERNET, 0);
			compare(&hello_cases[i], 11, 1460, ETHERNET, 0);
		}
	}
}

/* Bytes outside [offset, offset + length) are never read, though the skb contains them. */
static void test_window(void **state)
{
	(void)state;
	for (size_t i = 0; i < HELLO_CASES; i++) {
		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		for (uint32_t behind = 0; behind < 6; behind++) {
			compare(&hello_cases[i], 40, 13, ETHERNET, behind);
			compare(&hello_cases[i], SEGMENT_MAX, SEGMENT_MAX, ETHERNET + 33, behind);
		}
	}
}

/* A segment without bytes changes nothing, and a decision is final. */
static void test_nothing(void **state)
{
	struct clienthello ch = {0}, after;

	(void)state;
	set_state(&ch);
	assert_int_equal(feed(stream.bytes, 0, ETHERNET + 1, 0), CLIENTHELLO_MORE);
	after = get_state();
	assert_memory_equal(&after, &ch, sizeof(ch));

	for (size_t i = 0; i < HELLO_CASES; i++) {
		struct clienthello decided = {.result = (__u8)hello_cases[i].result};

		hello_stream(&stream, &hello_cases[0], CLIENTHELLO_RECORD_MAX);
		set_state(&decided);
		assert_int_equal(feed(stream.bytes, stream.length, ETHERNET, 0), hello_cases[i].result);
		after = get_state();
		assert_memory_equal(&after, &decided, sizeof(after));
	}
}

/* Two tables; the second has a rule that matches most of the cases. */
static void use_rules(__u32 entry)
{
	static const char *const texts[2] = {"sni=*.example alpn=nobody -> 1",
					     "sni=WWW.example.org,*.example alpn=h2 -> 1"};
	static struct clienthello_rules tables[2];
	int rules = bpf_map__fd(skel->maps.rules);

	skel->bss->rules_entry = entry;
	table = entry ? &tables[entry - 1] : NULL;
	for (__u32 key = 0; key < 2; key++) {
		struct routes routes = {0};
		const char *backend;
		struct sentence why;

		memset(&tables[key], 0, sizeof(tables[key]));
		assert_true(routes_add(&routes, texts[key], 0, &backend, &why));
		routes_compile(&routes, &tables[key]);
		assert_int_equal(bpf_map_update_elem(rules, &key, &tables[key], BPF_ANY), 0);
	}
}

static void test_rules(void **state)
{
	unsigned int met = 0;

	for (__u32 entry = 1; entry <= 2; entry++) {
		use_rules(entry);
		test_whole(state);
		test_splits(state);
		test_segments(state);
		test_records(state);
		test_window(state);
		for (size_t i = 0; i < HELLO_CASES; i++) {
			struct clienthello ch = {0};

			hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
			met += clienthello_feed(&ch, stream.bytes, stream.length, table) == CLIENTHELLO_RULE;
		}
		assert_true(entry == 1 ? met == 0 : met > 2);
	}
	use_rules(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),  cmocka_unit_test(test_whole),   cmocka_unit_test(test_splits),
		cmocka_unit_test(test_segments), cmocka_unit_test(test_records), cmocka_unit_test(test_window),
		cmocka_unit_test(test_rules),
	};
	int failed;

	skel = alpnbpf_clienthello__open_and_load();
	if (!skel) {
		int error = errno;

		if (error == EPERM) {
			printf("SKIPPED clienthello (BPF): loading a program is not permitted here (%s)\n",
			       strerror(error));
			return 0;
		}
		fprintf(stderr, "clienthello (BPF): cannot load the program: %s\n", strerror(error));
		return 1;
	}
	program = bpf_program__fd(skel->progs.feed);
	map = bpf_map__fd(skel->maps.state);
	failed = cmocka_run_group_tests_name("clienthello (BPF)", tests, NULL, NULL);
	alpnbpf_clienthello__destroy(skel);
	return failed;
}
