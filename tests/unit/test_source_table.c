// SPDX-License-Identifier: BSD-2-Clause
/* Sessions counted by source: limits, what one source is, and a full table emptied in any order. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/source_table.h"

static struct address v4(const char *text)
{
	struct address address = {.len = sizeof(address.in)};

	address.in.sin_family = AF_INET;
	assert_int_equal(inet_pton(AF_INET, text, &address.in.sin_addr), 1);
	return address;
}

static struct address v6(const char *text)
{
	struct address address = {.len = sizeof(address.in6)};

	address.in6.sin6_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, text, &address.in6.sin6_addr), 1);
	return address;
}

static void test_limit(void **state)
{
	struct source_table *table = source_table_new(10, 2);
	struct address one = v4("192.0.2.1"), other = v4("192.0.2.2");

	(void)state;
	assert_non_null(table);
	assert_true(source_table_enter(table, &one));
	one.in.sin_port = htons(1234); /* the port does not count */
	assert_true(source_table_enter(table, &one));
	assert_false(source_table_enter(table, &one));
	assert_true(source_table_enter(table, &other));
	source_table_leave(table, &one);
	assert_true(source_table_enter(table, &one));
	assert_false(source_table_enter(table, &one));
	source_table_free(table);
}

static void test_what_one_source_is(void **state)
{
	struct source_table *table = source_table_new(10, 1);
	struct address plain = v4("192.0.2.1"), mapped = v6("::ffff:192.0.2.1");
	struct address customer = v6("2001:db8:0:1::1"), same = v6("2001:db8:0:1:ffff::2"),
		       next = v6("2001:db8:0:2::1");

	(void)state;
	assert_true(source_table_enter(table, &plain));
	assert_false(source_table_enter(table, &mapped));
	assert_true(source_table_enter(table, &customer));
	assert_false(source_table_enter(table, &same));
	assert_true(source_table_enter(table, &next));
	source_table_leave(table, &mapped);
	assert_true(source_table_enter(table, &plain));
	source_table_free(table);
}

/* As many sources as sessions, removed in another order, many times: no entry is lost, none is left. */
static void test_churn(void **state)
{
	enum { SOURCES = 500 };
	struct source_table *table = source_table_new(SOURCES, 1);
	int inside[SOURCES] = {0};
	unsigned int seed = 7;

	(void)state;
	for (int step = 0; step < 200000; step++) {
		unsigned int i = (unsigned int)rand_r(&seed) % SOURCES;
		struct address source = v4("10.0.0.0");

		source.in.sin_addr.s_addr = htonl(0x0a000000 + i);
		if (inside[i] && rand_r(&seed) % 2) {
			source_table_leave(table, &source);
			inside[i] = 0;
		} else {
			assert_int_equal(source_table_enter(table, &source), !inside[i]);
			inside[i] = 1;
		}
	}
	source_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_what_one_source_is),
		cmocka_unit_test(test_churn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
