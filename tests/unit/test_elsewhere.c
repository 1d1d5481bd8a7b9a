// SPDX-License-Identifier: BSD-2-Clause
/* By which other address a web server is reached: never one where another server listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>

#include "engine/elsewhere.h"

static struct address at(const char *text)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET6, text, &v6) == 1)
		return address_v6(&v6, 443);
	return address_v4(ntohl(inet_addr(text)), 443);
}

#define V4(text)   ((struct listening){.address = at(text)})
#define DUAL(text) ((struct listening){.address = at(text), .dual_stack = true})

/* expected: the address; NULL: there is none. */
static void expect(const struct listening *listeners, unsigned int count, const char *destination, bool is_local,
		   const char *expected)
{
	struct address to = at(destination), found, wanted;

	assert_int_equal(elsewhere_among(listeners, count, &to, is_local, &found), expected != NULL);
	if (!expected)
		return;
	wanted = at(expected);
	assert_true(address_equal(&found, &wanted));
}

static void test_a_wildcard_is_reached_over_loopback(void **state)
{
	const struct listening v4[] = {V4("0.0.0.0")}, both[] = {V4("0.0.0.0"), V4("::")}, dual[] = {DUAL("::")};

	(void)state;
	expect(v4, 1, "192.0.2.1", true, "127.0.0.1");
	expect(v4, 1, "2001:db8::1", true, NULL);
	expect(both, 2, "2001:db8::1", true, "::1");
	expect(dual, 1, "192.0.2.1", true, "127.0.0.1");
	expect(dual, 1, "2001:db8::1", true, "::1");
	expect(dual, 1, "127.0.0.1", true, NULL); /* nothing else than what was tried */
}

static void test_another_server_on_loopback_is_not(void **state)
{
	/* a filter at the public address, and the origin behind it */
	const struct listening filter[] = {V4("192.0.2.1"), V4("127.0.0.1")};
	const struct listening wildcard[] = {V4("0.0.0.0"), V4("127.0.0.1")};

	(void)state;
	expect(filter, 2, "192.0.2.1", true, NULL);
	expect(filter, 2, "192.0.2.7", true, NULL);
	expect(wildcard, 2, "192.0.2.1", true, NULL);
	expect(wildcard, 2, "198.51.100.1", false, NULL);
	expect(NULL, 0, "192.0.2.1", true, NULL);
}

static void test_the_listener_of_tproxy(void **state)
{
	const struct listening wildcard[] = {V4("0.0.0.0")}, specific[] = {V4("127.0.0.2")};
	const struct listening several[] = {V4("0.0.0.0"), V4("192.0.2.1")};

	(void)state;
	expect(wildcard, 1, "198.51.100.1", false, "127.0.0.1");
	expect(specific, 1, "198.51.100.1", false, "127.0.0.2");
	expect(several, 2, "198.51.100.1", false, NULL); /* which of them is not known */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_wildcard_is_reached_over_loopback),
		cmocka_unit_test(test_another_server_on_loopback_is_not),
		cmocka_unit_test(test_the_listener_of_tproxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
