// SPDX-License-Identifier: BSD-2-Clause
/* Kernels that lose data, by version strings of distributions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/kernels.h"

static void test_kernels(void **state)
{
	static const struct {
		const char *release, *version, *name;
		bool too_old;
	} cases[] = {
		{"6.18.44", "#1 SMP", "6.18.44", false},
		{"6.16.0-rc1", "#1 SMP", "6.16.0-rc1", false},
		{"7.2.12", "#1 SMP", "7.2.12", false},
		{"6.1.142", "#1 SMP", "6.1.142", false},
		{"6.1.141", "#1 SMP", "6.1.141", true},
		{"6.12.35-cloud", "#1 SMP", "6.12.35-cloud", false},
		{"6.12.34", "#1 SMP", "6.12.34", true},
		{"6.6.99", "#1 SMP", "6.6.99", true},
		{"5.14.0-503.el9.x86_64", "#1 SMP", "5.14.0-503.el9.x86_64", true},
		{"6.1.0-40-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)", "6.1.153-1", false},
		{"6.1.0-30-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.124-1 (2025-01-12)", "6.1.124-1", true},
		{"no version", "", "no", false},
	};
	char name[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool too_old = kernel_is_too_old(cases[i].release, cases[i].version, name, sizeof(name));

		assert_int_equal(too_old, cases[i].too_old);
		assert_string_equal(name, cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels)};

	return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
