// SPDX-License-Identifier: BSD-2-Clause
/* What needs no machine of its own: kernel versions as distributions write them, and what a descriptor limit allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "system/ports.h"

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
		bool too_old = diagnose_kernel_too_old(cases[i].release, cases[i].version, name, sizeof(name));

		assert_int_equal(too_old, cases[i].too_old);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_descriptors(void **state)
{
	struct options options = {.workers = 2, .listener_count = 2};
	rlim_t reserve = diagnose_descriptor_reserve(&options);

	(void)state;
	assert_int_equal(diagnose_session_limit(&options, 0), 0);
	assert_int_equal(diagnose_session_limit(&options, reserve), 0);
	assert_int_equal(diagnose_session_limit(&options, reserve + 20), 10);
	assert_int_equal(diagnose_descriptors_needed(&options, 10), reserve + 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
