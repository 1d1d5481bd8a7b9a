// SPDX-License-Identifier: BSD-2-Clause
/* Limits of log lines by network: many at once, then few; none at another's cost; a limit over all. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "engine/source_lines.h"

#define SLOW 100 /* lines that a slow machine may add: the limits allow some a second */

static struct address v4(unsigned int network, unsigned int host)
{
	return address_v4(0x0a000000U + (network << 8) + host, 40000);
}

static struct address v6(const char *text)
{
	struct in6_addr host;

	assert_int_equal(inet_pton(AF_INET6, text, &host), 1);
	return address_v6(&host, 40000);
}

static unsigned int passing(enum source_line kind, const struct address *client, unsigned int tries,
			    unsigned long *left_out)
{
	unsigned int passed = 0;

	for (unsigned int i = 0; i < tries; i++)
		passed += source_lines_pass(kind, client, left_out);
	return passed;
}

static void expect_about(unsigned int passed, unsigned int wanted)
{
	assert_true(passed >= wanted && passed < wanted + SLOW);
}

static void test_networks(void **state)
{
	struct address one = v4(1, 1), neighbour = v4(1, 2), other = v4(2, 1), site = v6("2001:db8:1:1::1"),
		       same_site = v6("2001:db8:1:2::1"), next_site = v6("2001:db8:2:1::1");
	unsigned long left_out;

	(void)state;
	expect_about(passing(SOURCE_LINE_VALIDATION, &one, 300, &left_out), 200);
	assert_true(left_out > 0);
	assert_true(passing(SOURCE_LINE_VALIDATION, &neighbour, 100, &left_out) < 10); /* the same network */
	assert_true(source_lines_pass(SOURCE_LINE_VALIDATION, &other, &left_out));
	assert_true(left_out > 200 - SLOW); /* of all networks */
	assert_true(source_lines_pass(SOURCE_LINE_VALIDATION, &other, &left_out));
	assert_int_equal(left_out, 0);
	expect_about(passing(SOURCE_LINE_VALIDATION, &site, 300, &left_out), 200);
	assert_true(passing(SOURCE_LINE_VALIDATION, &same_site, 100, &left_out) < 10);
	assert_true(source_lines_pass(SOURCE_LINE_VALIDATION, &next_site, &left_out));
	/* warnings have limits of their own */
	expect_about(passing(SOURCE_LINE_TROUBLE, &one, 50, &left_out), 5);
}

/* Of 5,000 networks, more than the table has places for. */
static void test_over_all(void **state)
{
	unsigned long left_out, sum = 0;
	unsigned int passed = 0;

	(void)state;
	for (unsigned int network = 100; network < 5100; network++) {
		struct address client = v4(network, 1);

		if (source_lines_pass(SOURCE_LINE_TROUBLE, &client, &left_out)) {
			passed++;
			sum += left_out;
		}
	}
	assert_true(passed >= 40 && passed < 50 + SLOW);
	assert_true(sum + left_out + 1 + passed >= 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks), cmocka_unit_test(test_over_all)};

	return cmocka_run_group_tests_name("source lines", tests, NULL, NULL);
}
