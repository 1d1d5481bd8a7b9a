// SPDX-License-Identifier: BSD-2-Clause
/* Addresses: every valid form, every kind of mistake; what is printed parses to the same address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"

static struct sentence why;

static const char *text_of(const struct address *address)
{
	static char text[ADDRESS_TEXT_MAX];

	return address_format(address, text, sizeof(text));
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *text, *addresses[3];
	} cases[] = {
		{"8443", {"127.0.0.1:8443", "[::1]:8443"}},     {"1", {"127.0.0.1:1", "[::1]:1"}},
		{"65535", {"127.0.0.1:65535", "[::1]:65535"}},  {"192.0.2.1:443", {"192.0.2.1:443"}},
		{"[2001:db8::1]:443", {"[2001:db8::1]:443"}},   {"[2001:0DB8:0::0:1]:0443", {"[2001:db8::1]:443"}},
		{"[fe80::1%1]:443", {"[fe80::1%1]:443"}},       {"[::ffff:192.0.2.1]:443", {"192.0.2.1:443"}},
		{"unix:/run/web.sock", {"unix:/run/web.sock"}}, {"unix:web:1", {"unix:web:1"}},
	};
	struct endpoint endpoint;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int count = 0;

		if (!endpoint_parse(&endpoint, cases[i].text, &why))
			fail_msg("%s: %s", cases[i].text, why.text);
		assert_string_equal(endpoint.text, cases[i].text);
		for (; cases[i].addresses[count]; count++)
			assert_string_equal(text_of(&endpoint.addresses[count]), cases[i].addresses[count]);
		assert_int_equal(endpoint.count, count);
	}
}

static void test_resolved(void **state)
{
	struct endpoint endpoint;

	(void)state;
	assert_true(endpoint_parse(&endpoint, "localhost:8443", &why));
	assert_in_range(endpoint.count, 1, ENDPOINT_ADDRESSES_MAX);
	for (unsigned int i = 0; i < endpoint.count; i++) {
		assert_true(address_is_local(&endpoint.addresses[i]));
		assert_int_equal(address_port(&endpoint.addresses[i]), 8443);
		for (unsigned int j = 0; j < i; j++)
			assert_false(address_equal(&endpoint.addresses[i], &endpoint.addresses[j]));
	}
	assert_false(endpoint_parse(&endpoint, "name.invalid:1", &why));
	assert_non_null(strstr(why.text, "\"name.invalid\" cannot be resolved: "));
}

static void test_endpoints_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "is empty"},
		{"0", "\"0\" is not a port"},
		{"65536", "\"65536\" is not a port"},
		{"000443", "is not a port"},
		{"99999999999999999999", "is not a port"},
		{"host", "the port is missing; write host:PORT"},
		{"host:", "the port is missing"},
		{"host:x", "\"x\" is not a port"},
		{"host:+1", "\"+1\" is not a port"},
		{"host: 1", "\" 1\" is not a port"},
		{":443", "the host is missing; write 443 for this machine"},
		{"::1", "in brackets"},
		{"2001:db8::1:443", "in brackets"},
		{"[::1]", "needs a port after it"},
		{"[::1]443", "needs a port after it"},
		{"[::1:443", "needs a port after it"},
		{"[]:443", "the brackets are empty"},
		{"[127.0.0.1]:443", "\"127.0.0.1\" is not an IPv6 address"},
		{"[localhost]:443", "\"localhost\" is not an IPv6 address"},
		{"1:443", "\"1\" is not an IPv4 address"},
		{"127.1:443", "\"127.1\" is not an IPv4 address"},
		{"256.0.0.1:443", "is not an IPv4 address"},
		{"0.0.0.0:443", "0.0.0.0 is an address to listen on"},
		{"[::]:443", ":: is an address to listen on"},
		{"[::ffff:0.0.0.0]:443", "is an address to listen on"},
		{"unix:", "path is missing"},
	};
	struct endpoint endpoint;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (endpoint_parse(&endpoint, cases[i].text, &why))
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(why.text, cases[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, why.text, cases[i].says);
	}
}

static void test_lengths(void **state)
{
	struct endpoint endpoint;
	char text[400];

	(void)state;
	snprintf(text, sizeof(text), "unix:/%0106d", 0); /* 107 bytes and the NUL fill sun_path */
	assert_true(endpoint_parse(&endpoint, text, &why));
	assert_int_equal(endpoint.addresses[0].len, sizeof(struct sockaddr_un));
	assert_string_equal(text_of(&endpoint.addresses[0]), text);
	snprintf(text, sizeof(text), "unix:/%0107d", 0);
	assert_false(endpoint_parse(&endpoint, text, &why));
	assert_non_null(strstr(why.text, "107 bytes at most; this one has 108"));
	snprintf(text, sizeof(text), "a%0255d:443", 0);
	assert_false(endpoint_parse(&endpoint, text, &why));
	assert_non_null(strstr(why.text, "longer than 255 characters"));
	snprintf(text, sizeof(text), "%0300d", 0);
	assert_false(endpoint_parse(&endpoint, text, &why));
	assert_non_null(strstr(why.text, "longer than 299 characters"));
}

static void test_listen(void **state)
{
	static const struct {
		const char *text, *first, *second, *says;
	} cases[] = {
		{"443", "0.0.0.0:443", "[::]:443", NULL},
		{":443", "0.0.0.0:443", "[::]:443", NULL},
		{"0.0.0.0:443", "0.0.0.0:443", NULL, NULL},
		{"[::]:443", "[::]:443", NULL, NULL},
		{"[2001:db8::1]:443", "[2001:db8::1]:443", NULL, NULL},
		{"[::ffff:192.0.2.1]:443", "192.0.2.1:443", NULL, NULL},
		{"", NULL, NULL, "is empty"},
		{"localhost:443", NULL, NULL, "\"localhost\" is not a numeric address"},
		{"1.2:443", NULL, NULL, "\"1.2\" is not an IPv4 address"},
		{"[::g]:443", NULL, NULL, "\"::g\" is not an IPv6 address"},
		{"*:443", NULL, NULL, "not a numeric address"},
		{"0.0.0.0", NULL, NULL, "port is missing"},
		{"0", NULL, NULL, "not a port"},
		{"unix:/x", NULL, NULL, "not a port"},
	};
	struct address out[2];
	unsigned int count;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool good = listen_parse(out, &count, cases[i].text, &why);

		if (cases[i].says) {
			assert_false(good);
			if (!strstr(why.text, cases[i].says))
				fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, why.text, cases[i].says);
			continue;
		}
		assert_true(good);
		assert_int_equal(count, cases[i].second ? 2 : 1);
		assert_string_equal(text_of(&out[0]), cases[i].first);
		if (cases[i].second)
			assert_string_equal(text_of(&out[1]), cases[i].second);
	}
}

static void test_format_unix(void **state)
{
	struct address address = {.len = offsetof(struct sockaddr_un, sun_path)};
	char text[ADDRESS_TEXT_MAX], small[8];

	(void)state;
	address.un.sun_family = AF_UNIX; /* as accept() returns it for an unnamed client */
	assert_string_equal(text_of(&address), "unix:");
	memcpy(address.un.sun_path, "\0name", 5);
	address.len += 5;
	assert_string_equal(text_of(&address), "unix:@name");
	memset(address.un.sun_path, 'x', sizeof(address.un.sun_path)); /* the kernel may leave out the NUL */
	address.len = sizeof(struct sockaddr_un);
	address_format(&address, text, sizeof(text));
	assert_int_equal(strlen(text), 5 + sizeof(address.un.sun_path));
	assert_string_equal(address_format(&address, small, sizeof(small)), "unix:xx");
	assert_int_equal(address_port(&address), 0);
	address.sa.sa_family = AF_UNSPEC;
	assert_string_equal(text_of(&address), "(no address)");
	assert_int_equal(address_port(&address), 0);
}

static struct address parse_one(const char *text)
{
	struct endpoint endpoint;

	assert_true(endpoint_parse(&endpoint, text, &why));
	return endpoint.addresses[0];
}

static void test_unmapped(void **state)
{
	struct address mapped = parse_one("[::ffff:192.0.2.1]:443"), plain = address_unmapped(&mapped);
	struct address v6 = parse_one("[2001:db8::1]:443"), same = address_unmapped(&v6);

	(void)state;
	assert_int_equal(mapped.sa.sa_family, AF_INET6);
	assert_int_equal(plain.sa.sa_family, AF_INET);
	assert_int_equal(plain.len, sizeof(struct sockaddr_in));
	assert_int_equal(ntohl(plain.in.sin_addr.s_addr), 0xc0000201);
	assert_int_equal(address_port(&plain), 443);
	assert_true(address_equal(&v6, &same));
}

static void test_equal(void **state)
{
	static const char *const different[] = {
		"192.0.2.1:443",     "192.0.2.1:444",     "192.0.2.2:443",   "[2001:db8::1]:443",
		"[2001:db8::1]:444", "[2001:db8::2]:443", "[fe80::1%1]:443", "[fe80::1]:443",
		"unix:/a",           "unix:/b",           "unix:/ab",        "[::ffff:192.0.2.1]:443",
	};
	const size_t count = sizeof(different) / sizeof(different[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			struct address a = parse_one(different[i]), b = parse_one(different[j]);

			if (address_equal(&a, &b) != (i == j))
				fail_msg("%s and %s", different[i], different[j]);
		}
	}
}

static void test_local(void **state)
{
	static const struct {
		const char *text;
		bool local;
	} cases[] = {
		{"127.0.0.1:1", true}, {"127.255.0.1:1", true}, {"[::1]:1", true},      {"[::ffff:127.0.0.1]:1", true},
		{"unix:/x", true},     {"192.0.2.77:1", false}, {"128.0.0.1:1", false}, {"[2001:db8:ffff::7]:1", false},
	};
	struct address wildcards[2];
	unsigned int count;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address address = parse_one(cases[i].text);

		if (address_is_local(&address) != cases[i].local)
			fail_msg("%s", cases[i].text);
		assert_false(address_is_wildcard(&address));
	}
	assert_true(listen_parse(wildcards, &count, "443", &why));
	for (unsigned int i = 0; i < count; i++)
		assert_true(address_is_wildcard(&wildcards[i]) && address_is_local(&wildcards[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_resolved),
		cmocka_unit_test(test_endpoints_refused),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_format_unix),
		cmocka_unit_test(test_unmapped),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_local),
	};

	return cmocka_run_group_tests_name("sockaddr", tests, NULL, NULL);
}
