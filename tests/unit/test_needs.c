// SPDX-License-Identifier: BSD-2-Clause
/* What the options need from the machine: the descriptor limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "options/needs.h"

static void test_descriptors(void **state)
{
	struct options options = {.workers = 2, .listener_count = 2};
	rlim_t reserve = needs_descriptors(&options, 0);

	(void)state;
	assert_int_equal(needs_session_limit(&options, 0), 0);
	assert_int_equal(needs_session_limit(&options, reserve), 0);
	assert_int_equal(needs_session_limit(&options, reserve + 20), 10);
	assert_int_equal(needs_descriptors(&options, 10), reserve + 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests_name("needs", tests, NULL, NULL);
}
