// SPDX-License-Identifier: BSD-2-Clause
/* Missing capabilities: which are named, and only where the kernel refused because of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/capabilities.h"

static char text[CAPABILITIES_TEXT_MAX];

/* In a process of its own, with these effective capabilities only. */
static bool says(uint64_t effective, int error, uint64_t wanted, const char *expected)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	pid_t child = fork();
	int status;

	if (child == 0) {
		const char *said;

		if (syscall(SYS_capget, &header, data))
			_Exit(2);
		for (unsigned int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++)
			data[word].effective = data[word].permitted & (uint32_t)(effective >> 32 * word);
		if (syscall(SYS_capset, &header, data))
			_Exit(2);
		said = error ? capabilities_strerror(error, wanted, text, sizeof(text))
			     : capabilities_missing(wanted, text, sizeof(text));
		if (expected ? said && strcmp(said, expected) == 0 : !said)
			_Exit(0);
		fprintf(stderr, "\"%s\" instead of \"%s\"\n", said ? said : "(nothing)",
			expected ? expected : "(nothing)");
		_Exit(1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_missing(void **state)
{
	(void)state;
	assert_true(says(0, 0, 0, NULL));
	assert_true(says(0, 0, CAPABILITY(CAP_NET_RAW), "missing CAP_NET_RAW"));
	assert_true(says(0, 0, CAPABILITIES_BPF, "missing CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"));
	assert_true(says(0, 0, CAPABILITIES_BPF | CAPABILITY(CAP_NET_RAW) | CAPABILITY(CAP_NET_BIND_SERVICE),
			 "missing CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_NET_BIND_SERVICE, CAP_NET_RAW"));
}

static void test_there(void **state)
{
	(void)state;
	if (geteuid() != 0 || capabilities_missing(CAPABILITIES_BPF | CAPABILITY(CAP_SYS_ADMIN), text, sizeof(text)))
		skip(); /* this process has none to keep */
	assert_true(says(CAPABILITIES_BPF, 0, CAPABILITIES_BPF, NULL));
	assert_true(says(CAPABILITY(CAP_NET_ADMIN), 0, CAPABILITIES_BPF, "missing CAP_BPF, CAP_PERFMON"));
	/* CAP_SYS_ADMIN includes the two newer ones, not the older. */
	assert_true(says(CAPABILITY(CAP_SYS_ADMIN), 0, CAPABILITIES_BPF, "missing CAP_NET_ADMIN"));
}

static void test_strerror(void **state)
{
	(void)state;
	assert_true(says(0, -EPERM, CAPABILITY(CAP_NET_RAW), "Operation not permitted (missing CAP_NET_RAW)"));
	assert_true(
		says(0, -EACCES, CAPABILITIES_BPF, "Permission denied (missing CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON)"));
	/* An error with another cause. */
	assert_true(says(0, -EPERM, 0, "Operation not permitted"));
	assert_true(says(0, -ENOMEM, CAPABILITIES_BPF, "Cannot allocate memory"));
}

/* A short buffer: the text is cut. */
static void test_short(void **state)
{
	char small[12];

	(void)state;
	capabilities_strerror(-EPERM, CAPABILITIES_BPF, small, sizeof(small));
	assert_string_equal(small, "Operation n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_there),
		cmocka_unit_test(test_strerror),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests_name("capabilities", tests, NULL, NULL);
}
