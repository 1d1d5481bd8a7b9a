// SPDX-License-Identifier: BSD-2-Clause
/* Sentences: how they are returned, long ones, and one that is built from itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/descriptor.h"
#include "base/sentence.h"

static void test_a_failing_function_ends_with_it(void **state)
{
	struct sentence why = {0};

	(void)state;
	assert_int_equal(sentence_error(&why, -EINVAL, "port %u: %s", 443, "taken"), -EINVAL);
	assert_string_equal(why.text, "port 443: taken");
	assert_false(sentence_refuse(&why, "line %d", 3));
	assert_string_equal(why.text, "line 3");
}

static void test_it_may_be_made_from_itself(void **state)
{
	struct sentence why;

	(void)state;
	sentence_set(&why, "no such port");
	sentence_set(&why, "--https: %s; use 443", why.text);
	assert_string_equal(why.text, "--https: no such port; use 443");
}

static void test_what_is_too_long_says_so(void **state)
{
	char many[2 * SENTENCE_MAX], most[SENTENCE_MAX];
	struct sentence why;

	(void)state;
	memset(many, 'a', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	sentence_set(&why, "%s", many);
	assert_int_equal(strlen(why.text), SENTENCE_MAX - 1);
	assert_string_equal(why.text + SENTENCE_MAX - 1 - 4, "a...");
	memset(most, 'a', sizeof(most) - 1);
	most[sizeof(most) - 1] = '\0';
	sentence_set(&why, "%s", most);
	assert_string_equal(why.text, most);
}

static void test_closing_twice_closes_once(void **state)
{
	int pair[2], fd;

	(void)state;
	assert_int_equal(pipe(pair), 0);
	fd = pair[0];
	errno = EPERM;
	descriptor_close(&fd);
	assert_int_equal(fd, NO_DESCRIPTOR);
	assert_int_equal(write(pair[1], "x", 0), 0);
	assert_int_equal(close(pair[0]), -1);
	assert_int_equal(errno, EBADF);
	errno = EPERM;
	descriptor_close(&fd);
	assert_int_equal(errno, EPERM);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failing_function_ends_with_it),
		cmocka_unit_test(test_it_may_be_made_from_itself),
		cmocka_unit_test(test_what_is_too_long_says_so),
		cmocka_unit_test(test_closing_twice_closes_once),
	};

	return cmocka_run_group_tests_name("sentence", tests, NULL, NULL);
}
