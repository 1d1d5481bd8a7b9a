/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of takeovers: which are valid, and which connection they describe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "steering/takeover.h"

#define HEAD offsetof(struct steer_takeover, bytes)

static struct steer_endpoint endpoint(const char *text, uint16_t port)
{
	struct steer_endpoint out = {.port = port};

	assert_int_equal(inet_pton(AF_INET6, text, out.addr), 1);
	return out;
}

static void test_lengths(void **state)
{
	static struct steer_takeover takeover;

	(void)state;
	memset(&takeover, 0, sizeof(takeover));
	assert_true(takeover_is_sound(&takeover, sizeof(takeover)));
	assert_true(takeover_is_sound(&takeover, HEAD));
	assert_false(takeover_is_sound(&takeover, HEAD - 1));
	assert_false(takeover_is_sound(&takeover, 0));

	takeover.length = 300;
	assert_true(takeover_is_sound(&takeover, HEAD + 300));
	assert_true(takeover_is_sound(&takeover, HEAD + 304)); /* the ring rounds up */
	assert_false(takeover_is_sound(&takeover, HEAD + 299));
	takeover.kept_length = 300;
	assert_true(takeover_is_sound(&takeover, HEAD + 300));
	takeover.kept_length++;
	assert_false(takeover_is_sound(&takeover, HEAD + 300));
	takeover.length = takeover.kept_length = STEER_BYTES_MAX;
	assert_true(takeover_is_sound(&takeover, sizeof(takeover)));
	takeover.length++;
	assert_false(takeover_is_sound(&takeover, sizeof(takeover) + 1));
}

static void test_scales(void **state)
{
	static struct steer_takeover takeover;

	(void)state;
	memset(&takeover, 0, sizeof(takeover));
	takeover.agreed.send_scale = takeover.agreed.receive_scale = 14;
	assert_true(takeover_is_sound(&takeover, sizeof(takeover)));
	takeover.agreed.send_scale = 15;
	assert_false(takeover_is_sound(&takeover, sizeof(takeover)));
	takeover.agreed.send_scale = 0;
	takeover.agreed.receive_scale = 255;
	assert_false(takeover_is_sound(&takeover, sizeof(takeover)));
}

static void check_ends(const char *client, const char *server, uint32_t ifindex, const char *client_text,
		       const char *server_text)
{
	static struct steer_takeover takeover;
	struct address from, to;
	char text[ADDRESS_TEXT_MAX];

	takeover.ends.from = endpoint(client, 50000);
	takeover.ends.to = endpoint(server, 443);
	takeover.ifindex = ifindex;
	from = takeover_client(&takeover);
	to = takeover_server(&takeover);
	assert_string_equal(address_format(&from, text, sizeof(text)), client_text);
	assert_string_equal(address_format(&to, text, sizeof(text)), server_text);
}

static void test_ends(void **state)
{
	(void)state;
	check_ends("::ffff:192.0.2.1", "::ffff:198.51.100.2", 3, "192.0.2.1:50000", "198.51.100.2:443");
	check_ends("2001:db8::1", "2001:db8::2", 3, "[2001:db8::1]:50000", "[2001:db8::2]:443");
	/* such an address is unique on its interface only */
	check_ends("fe80::1", "fe80::2", 3, "[fe80::1%3]:50000", "[fe80::2%3]:443");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_scales),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
