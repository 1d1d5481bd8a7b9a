// SPDX-License-Identifier: BSD-2-Clause
/* The lock of a network namespace: one holder, which is named; free again when its descriptor closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "system/lock.h"
#include "system/process.h"

static char name[32];
static struct sentence why;

static void test_taken_once(void **state)
{
	char holder[PROCESS_TEXT_MAX];
	int lock, again;

	(void)state;
	assert_int_equal(lock_find(name, &why), 0);
	lock = lock_take(name, &why);
	assert_true(lock >= 0);
	process_name((unsigned int)getpid(), holder, sizeof(holder));
	assert_int_equal(lock_find(name, &why), -EADDRINUSE);
	assert_string_equal(why.text, holder);
	assert_int_equal(lock_take(name, &why), -EADDRINUSE);
	assert_string_equal(why.text, holder);
	close(lock);
	again = lock_take(name, &why);
	assert_true(again >= 0);
	close(again);
}

/* Each connection stays in the queue until it is accepted; any number of them is answered. */
static void test_asked_often(void **state)
{
	int lock = lock_take(name, &why);

	(void)state;
	assert_true(lock >= 0);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(lock_find(name, &why), -EADDRINUSE);
		lock_answer(lock);
	}
	lock_answer(lock); /* an empty queue does not block */
	close(lock);
}

static void test_names(void **state)
{
	char other[48];
	int locks[2];

	(void)state;
	snprintf(other, sizeof(other), "%s-2", name);
	locks[0] = lock_take(name, &why);
	locks[1] = lock_take(other, &why);
	assert_true(locks[0] >= 0 && locks[1] >= 0);
	close(locks[0]);
	assert_int_equal(lock_find(name, &why), 0);
	assert_int_equal(lock_find(other, &why), -EADDRINUSE);
	close(locks[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_once),
		cmocka_unit_test(test_asked_often),
		cmocka_unit_test(test_names),
	};

	snprintf(name, sizeof(name), "test-%d", getpid());
	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
