// SPDX-License-Identifier: BSD-2-Clause
/* PROXY headers byte by byte, against headers written out by hand from proxy-protocol.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/proxy_protocol.h"

static struct address address_of(const char *text)
{
	struct endpoint endpoint;
	struct sentence why;

	if (!endpoint_parse(&endpoint, text, &why))
		fail_msg("%s: %s", text, why.text);
	return endpoint.addresses[0];
}

#define CLIENT_V4 "192.0.2.1:49152"
#define SERVER_V4 "198.51.100.2:443"

static void test_v1(void **state)
{
	static const struct {
		const char *source, *destination, *header;
	} cases[] = {
		{CLIENT_V4, SERVER_V4, "PROXY TCP4 192.0.2.1 198.51.100.2 49152 443\r\n"},
		{"255.255.255.255:65535", "255.255.255.255:65535",
		 "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"},
		{"[2001:db8::1]:49152", "[2001:db8:0:1::2]:443",
		 "PROXY TCP6 2001:db8::1 2001:db8:0:1::2 49152 443\r\n"},
		/* the longest there is */
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
		 "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n"},
		/* mapped on both sides, or on one with IPv4 on the other: a client of a [::] listener */
		{"[::ffff:192.0.2.1]:49152", "[::ffff:198.51.100.2]:443",
		 "PROXY TCP4 192.0.2.1 198.51.100.2 49152 443\r\n"},
		{"[::ffff:192.0.2.1]:49152", SERVER_V4, "PROXY TCP4 192.0.2.1 198.51.100.2 49152 443\r\n"},
		/* no dots inside an IPv6 address */
		{"[::192.0.2.1]:49152", "[2001:db8::2]:443",
		 "PROXY TCP6 0:0:0:0:0:0:c000:201 2001:db8::2 49152 443\r\n"},
		/* the scope means something on this machine only */
		{"[fe80::1%1]:49152", "[fe80::2%1]:443", "PROXY TCP6 fe80::1 fe80::2 49152 443\r\n"},
		{"[::ffff:192.0.2.1]:49152", "[2001:db8::2]:443", "PROXY UNKNOWN\r\n"},
		{"[2001:db8::1]:49152", SERVER_V4, "PROXY UNKNOWN\r\n"},
		{"unix:/run/client", "unix:/run/server", "PROXY UNKNOWN\r\n"},
		{CLIENT_V4, "unix:/run/server", "PROXY UNKNOWN\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address source = address_of(cases[i].source), destination = address_of(cases[i].destination);
		size_t length = strlen(cases[i].header);
		uint8_t out[PROXY_HEADER_MAX];

		assert_true(length <= 107);
		assert_int_equal(proxy_header_encode(out, sizeof(out), PROXY_V1, &source, &destination, NULL), length);
		assert_memory_equal(out, cases[i].header, length);
		assert_int_equal(proxy_header_encode(out, length, PROXY_V1, &source, &destination, NULL), length);
		assert_int_equal(proxy_header_encode(out, length - 1, PROXY_V1, &source, &destination, NULL), -ENOSPC);
	}
}

#define SIGNATURE 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a

static void expect_v2(const char *source_text, const char *destination_text, const struct proxy_tlvs *tlvs,
		      const uint8_t *header, size_t length)
{
	struct address source = address_of(source_text), destination = address_of(destination_text);
	uint8_t out[PROXY_HEADER_MAX];

	assert_int_equal(proxy_header_encode(out, sizeof(out), PROXY_V2, &source, &destination, tlvs), length);
	assert_memory_equal(out, header, length);
	assert_int_equal(proxy_header_encode(out, length, PROXY_V2, &source, &destination, tlvs), length);
	for (size_t size = 0; size < length; size++)
		assert_int_equal(proxy_header_encode(out, size, PROXY_V2, &source, &destination, tlvs), -ENOSPC);
}

static const uint8_t v2_tcp4[] = {
	SIGNATURE, 0x21,         /* version 2, PROXY */
	0x11,                    /* AF_INET, STREAM */
	0x00,      0x0c,         /* 12 bytes follow */
	192,       0,    2,   1, /* source */
	198,       51,   100, 2, /* destination */
	0xc0,      0x00,         /* source port 49152 */
	0x01,      0xbb,         /* destination port 443 */
};

static void test_v2_tcp4(void **state)
{
	static const struct proxy_tlvs none = {0};

	(void)state;
	expect_v2(CLIENT_V4, SERVER_V4, NULL, v2_tcp4, sizeof(v2_tcp4));
	expect_v2(CLIENT_V4, SERVER_V4, &none, v2_tcp4, sizeof(v2_tcp4));
	expect_v2("[::ffff:192.0.2.1]:49152", "[::ffff:198.51.100.2]:443", NULL, v2_tcp4, sizeof(v2_tcp4));
}

static void test_v2_tcp6(void **state)
{
	static const uint8_t header[] = {
		SIGNATURE, 0x21, 0x21,                                           /* AF_INET6, STREAM */
		0x00,      0x24,                                                 /* 36 bytes follow */
		0x20,      0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, /* source */
		0x20,      0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, /* destination */
		0xc0,      0x00, 0x01, 0xbb,                                     /* ports */
	};

	(void)state;
	expect_v2("[2001:db8::1]:49152", "[2001:db8:0:1::2]:443", NULL, header, sizeof(header));
}

static void test_v2_unspec(void **state)
{
	static const uint8_t header[] = {SIGNATURE, 0x21, 0x00, 0x00, 0x00};
	static const uint8_t with_tlv[] = {SIGNATURE, 0x21, 0x00, 0x00, 0x05, 0x01, 0x00, 0x02, 'h', '2'};
	static const struct proxy_tlvs tlvs = {.alpn = (const uint8_t *)"h2", .alpn_length = 2};

	(void)state;
	expect_v2("[2001:db8::1]:49152", SERVER_V4, NULL, header, sizeof(header));
	expect_v2("unix:/run/client", "unix:/run/server", NULL, header, sizeof(header));
	expect_v2("unix:/run/client", "unix:/run/server", &tlvs, with_tlv, sizeof(with_tlv));
}

static void test_v2_tlvs(void **state)
{
	static const uint8_t header[] = {
		SIGNATURE, 0x21, 0x11, 0x00, 0x28, /* 12 + 13 + 15 */
		192,       0,    2,    1,    198,  51,  100, 2,   0xc0, 0x00, 0x01, 0xbb, 0x01, 0x00,
		0x0a, /* PP2_TYPE_ALPN, 10 bytes */
		'a',       'c',  'm',  'e',  '-',  't', 'l', 's', '/',  '1',  0x02, 0x00, 0x0c, /* PP2_TYPE_AUTHORITY,
												   12 bytes */
		'e',       'x',  'a',  'm',  'p',  'l', 'e', '.', 't',  'e',  's',  't',
	};
	struct proxy_tlvs tlvs = {
		.alpn = (const uint8_t *)"acme-tls/1 and what follows it",
		.alpn_length = 10,
		.authority = "example.test",
		.authority_length = 12,
	};
	static uint8_t expected[sizeof(v2_tcp4) + 15];

	(void)state;
	expect_v2(CLIENT_V4, SERVER_V4, &tlvs, header, sizeof(header));

	/* Without the first the second moves up. */
	tlvs.alpn = NULL;
	memcpy(expected, v2_tcp4, sizeof(v2_tcp4));
	memcpy(expected + sizeof(v2_tcp4), header + 41, 15);
	expected[15] = 12 + 15;
	expect_v2(CLIENT_V4, SERVER_V4, &tlvs, expected, sizeof(expected));
}

/* The longest possible values fit into PROXY_HEADER_MAX; longer ones are refused, not cut. */
static void test_v2_longest(void **state)
{
	static uint8_t out[PROXY_HEADER_MAX], long_value[70000];
	struct address source = address_of("[2001:db8::1]:1"), destination = address_of("[2001:db8::2]:443");
	struct proxy_tlvs tlvs = {
		.alpn = long_value,
		.alpn_length = 255,
		.authority = (const char *)long_value,
		.authority_length = 255,
	};

	(void)state;
	assert_int_equal(proxy_header_encode(out, sizeof(out), PROXY_V2, &source, &destination, &tlvs),
			 16 + 36 + 3 + 255 + 3 + 255);
	assert_int_equal(out[14] << 8 | out[15], 36 + 3 + 255 + 3 + 255);
	tlvs.authority_length = sizeof(long_value);
	assert_int_equal(proxy_header_encode(out, sizeof(out), PROXY_V2, &source, &destination, &tlvs), -ENOSPC);
}

static void test_none(void **state)
{
	struct address source = address_of(CLIENT_V4), destination = address_of(SERVER_V4);
	uint8_t out[1] = {0xaa};

	(void)state;
	assert_int_equal(proxy_header_encode(out, sizeof(out), PROXY_NONE, &source, &destination, NULL), 0);
	assert_int_equal(out[0], 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),        cmocka_unit_test(test_v2_tcp4), cmocka_unit_test(test_v2_tcp6),
		cmocka_unit_test(test_v2_unspec), cmocka_unit_test(test_v2_tlvs), cmocka_unit_test(test_v2_longest),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests_name("proxy_protocol", tests, NULL, NULL);
}
