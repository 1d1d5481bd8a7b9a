// SPDX-License-Identifier: BSD-2-Clause
/* Kernel settings: text without its newline, a number, and a setting that does not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "system/sysctl.h"

static void test_text(void **state)
{
	struct utsname names;
	char text[sizeof(names.release)], small[3];

	(void)state;
	assert_int_equal(uname(&names), 0);
	assert_true(sysctl_text("kernel/osrelease", text, sizeof(text)));
	assert_string_equal(text, names.release);
	assert_true(sysctl_text("kernel/ostype", small, sizeof(small)));
	assert_string_equal(small, "Li");
	assert_false(sysctl_text("kernel/no_such_setting", text, sizeof(text)));
	assert_string_equal(text, "");
}

static void test_number(void **state)
{
	unsigned int from = 0, to = 0;
	char range[64];

	(void)state;
	assert_true(sysctl_text("net/ipv4/ip_local_port_range", range, sizeof(range)));
	assert_int_equal(sscanf(range, "%u %u", &from, &to), 2);
	assert_int_equal(sysctl_number("net/ipv4/ip_local_port_range", 1), from);
	assert_int_equal(sysctl_number("kernel/no_such_setting", 77), 77);
	assert_int_equal(sysctl_number("kernel/ostype", 78), 78);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_number),
	};

	return cmocka_run_group_tests_name("sysctl", tests, NULL, NULL);
}
