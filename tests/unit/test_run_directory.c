// SPDX-License-Identifier: BSD-2-Clause
/* The run directory: its default, the one a service manager sets, and names that are too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "system/run_directory.h"

static void test_directory(void **state)
{
	(void)state;
	unsetenv("RUNTIME_DIRECTORY");
	assert_string_equal(run_directory(), "/run/alpnbpf");
	setenv("RUNTIME_DIRECTORY", "/run/one", 1);
	assert_string_equal(run_directory(), "/run/one");
	setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
	assert_string_equal(run_directory(), "/run/one");
	setenv("RUNTIME_DIRECTORY", "relative", 1);
	assert_string_equal(run_directory(), "/run/alpnbpf");
	setenv("RUNTIME_DIRECTORY", "", 1);
	assert_string_equal(run_directory(), "/run/alpnbpf");
}

static void test_paths(void **state)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)], name[200];

	(void)state;
	setenv("RUNTIME_DIRECTORY", "/run/one", 1);
	assert_true(run_directory_socket("443", path, sizeof(path)));
	assert_string_equal(path, "/run/one/443.sock");
	assert_true(run_directory_path("443", "lock", path, sizeof(path)));
	assert_string_equal(path, "/run/one/443.lock");
	/* sun_path has 108 bytes, one of them the NUL. */
	snprintf(name, sizeof(name), "%093d", 0);
	assert_true(run_directory_socket(name, path, sizeof(path)));
	snprintf(name, sizeof(name), "%094d", 0);
	assert_false(run_directory_socket(name, path, sizeof(path)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests_name("run_directory", tests, NULL, NULL);
}
