// SPDX-License-Identifier: BSD-2-Clause
/* The heap of deadlines, compared with a sort: random sets, moves and cancellations; deadlines come out in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/timer.h"

#define TIMERS 300

static void test_order(void **state)
{
	static const uint64_t due[] = {50, 10, 40, 10, 30, 20};
	struct timer timers[6] = {0};
	struct timers heap;
	uint64_t last = 0;

	(void)state;
	assert_int_equal(timers_init(&heap, 6), 0);
	assert_true(timers_next(&heap) == UINT64_MAX);
	for (size_t i = 0; i < 6; i++)
		timer_set(&heap, &timers[i], due[i]);
	assert_true(timers_next(&heap) == 10);
	assert_null(timers_expired(&heap, 9));
	for (size_t i = 0; i < 6; i++) {
		struct timer *timer = timers_expired(&heap, 1000);

		assert_non_null(timer);
		assert_true(timer->due >= last);
		assert_false(timer_is_set(timer));
		last = timer->due;
	}
	assert_null(timers_expired(&heap, 1000));
	timers_free(&heap);
}

static void test_move_and_cancel(void **state)
{
	struct timer early = {0}, late = {0}, idle = {0};
	struct timers heap;

	(void)state;
	assert_int_equal(timers_init(&heap, 3), 0);
	timer_set(&heap, &early, 10);
	timer_set(&heap, &late, 20);
	timer_set(&heap, &early, 30); /* moved behind */
	assert_ptr_equal(timers_expired(&heap, 25), &late);
	assert_null(timers_expired(&heap, 25));
	timer_cancel(&heap, &early);
	timer_cancel(&heap, &early); /* cancelling twice, or one that was never set: no effect */
	timer_cancel(&heap, &idle);
	assert_null(timers_expired(&heap, 1000));
	timers_free(&heap);
}

/* A model of the heap: flags and times, searched linearly. */
static const struct timer *model_first(const struct timer *timers, const int *set)
{
	const struct timer *first = NULL;

	for (size_t i = 0; i < TIMERS; i++)
		if (set[i] && (!first || timers[i].due < first->due))
			first = &timers[i];
	return first;
}

static void test_random(void **state)
{
	static struct timer timers[TIMERS];
	static int set[TIMERS];
	unsigned int seed = 1;
	struct timers heap;

	(void)state;
	assert_int_equal(timers_init(&heap, TIMERS), 0);
	for (int step = 0; step < 50000; step++) {
		size_t i = (size_t)rand_r(&seed) % TIMERS;
		const struct timer *first;
		struct timer *expired;

		switch (rand_r(&seed) % 4) {
		case 0:
		case 1:
			timer_set(&heap, &timers[i], (uint64_t)(rand_r(&seed) % 1000));
			set[i] = 1;
			break;
		case 2:
			timer_cancel(&heap, &timers[i]);
			set[i] = 0;
			break;
		case 3:
			first = model_first(timers, set);
			expired = timers_expired(&heap, 500);
			assert_true((expired != NULL) == (first && first->due <= 500));
			if (expired && first) {
				assert_true(expired->due == first->due);
				set[expired - timers] = 0;
			}
			break;
		}
		first = model_first(timers, set);
		assert_true(timers_next(&heap) == (first ? first->due : UINT64_MAX));
	}
	timers_free(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_move_and_cancel),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
