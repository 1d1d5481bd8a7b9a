// SPDX-License-Identifier: BSD-2-Clause
/* An entry of a takeover that cannot be removed at once is removed later, unless it is another connection's by then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/descriptor.h"
#include "steering/repair_duty.h"

#define PORT 443

static struct steer_state state;
static int writable, read_only; /* the same map */
static struct repair_duty duty;

static void open_map(void)
{
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, options, .open_flags = BPF_F_RDONLY);
	struct bpf_map_info info = {0};
	__u32 length = sizeof(info);

	writable = bpf_map_create(BPF_MAP_TYPE_HASH, "alpnbpf_taken", sizeof(struct steer_connection), STEER_TAKEN_SIZE,
				  STEER_TAKEN_MOST, NULL);
	assert_true(writable >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(writable, &info, &length), 0);
	read_only = bpf_map_get_fd_by_id_opts(info.id, &options);
	assert_true(read_only >= 0);
	duty = (struct repair_duty){.state = &state, .taken = writable};
	repair_duty_allow(&duty, PORT);
}

static struct steer_takeover takeover(uint16_t port, uint32_t first)
{
	struct steer_takeover takeover = {
		.ends.from.port = port, .ends.to.port = PORT, .first = first, .passed = first, .taken = STEER_TAKEN};

	takeover.ends.from.addr[2] = takeover.ends.to.addr[2] = htonl(0xffff);
	takeover.ends.from.addr[3] = takeover.ends.to.addr[3] = htonl(0x7f000001);
	takeover.agreed.expected = first;
	takeover.agreed.mss = 1400;
	return takeover;
}

static void enter(const struct steer_takeover *one)
{
	assert_int_equal(bpf_map_update_elem(writable, &one->ends, one, BPF_ANY), 0);
}

static bool is_entered(const struct steer_takeover *one)
{
	struct steer_takeover found;

	return bpf_map_lookup_elem(writable, &one->ends, &found) == 0;
}

static int result_of(enum repair_kind kind, const struct steer_takeover *one)
{
	struct repair_request request = {.kind = kind, .entry = {.ends = one->ends, .first = one->first}};
	struct repair_answer answer;
	int passed;

	assert_false(repair_duty_worker(&duty, &request, NULL, 0, &answer, &passed));
	return answer.result;
}

static void ask(enum repair_kind kind, const struct steer_takeover *one)
{
	assert_int_equal(result_of(kind, one), 0);
}

/* Until nothing is left to do, or a second has passed. */
static void go_on(void)
{
	for (int tries = 0, wait = 0; wait >= 0 && tries < 100; tries++) {
		wait = repair_duty_again(&duty);
		usleep(wait > 0 ? (useconds_t)wait * 1000 : 0);
	}
}

static void test_at_once(void **state_)
{
	struct steer_takeover one = takeover(1000, 1);

	(void)state_;
	state.takeovers_ended = 0;
	enter(&one);
	ask(REPAIR_RELEASE, &one);
	assert_false(is_entered(&one));
	assert_int_equal(repair_duty_again(&duty), -1);
	assert_int_equal(state.takeovers_ended, 1);
}

static void test_later(void **state_)
{
	struct steer_takeover released = takeover(1001, 1), left = takeover(1002, 1), replaced = takeover(1003, 1),
			      newer = takeover(1003, 77), gone = takeover(1004, 1);

	(void)state_;
	state.takeovers_ended = 0;
	enter(&released);
	enter(&left);
	enter(&replaced);
	enter(&gone);
	duty.taken = read_only;
	ask(REPAIR_RELEASE, &released);
	ask(REPAIR_LEAVE, &left);
	ask(REPAIR_RELEASE, &replaced);
	ask(REPAIR_RELEASE, &gone);
	assert_true(repair_duty_again(&duty) > 0);
	usleep(20000);
	assert_true(repair_duty_again(&duty) > 0); /* still refused */
	assert_true(is_entered(&released) && is_entered(&left));
	assert_int_equal(state.takeovers_ended, 0);

	duty.taken = writable;
	enter(&newer);
	assert_int_equal(bpf_map_delete_elem(writable, &gone.ends), 0);
	go_on();
	assert_int_equal(repair_duty_again(&duty), -1);
	assert_false(is_entered(&released) || is_entered(&left));
	assert_true(is_entered(&newer));
	assert_int_equal(state.takeovers_ended, 2);
	ask(REPAIR_RELEASE, &newer);
}

/* A connection was given back, the client sent again, and the watch removed the entry: the ends may come again. */
static void test_of_a_later_connection(void **state_)
{
	struct steer_takeover before = takeover(1005, 1), later = takeover(1005, 77);

	(void)state_;
	enter(&later);
	assert_int_equal(result_of(REPAIR_RELEASE, &before), -ENOENT);
	assert_int_equal(result_of(REPAIR_LEAVE, &before), -ENOENT);
	assert_int_equal(result_of(REPAIR_RESET_CLIENT, &before), -ENOENT);
	assert_true(is_entered(&later));
	ask(REPAIR_RELEASE, &later);
}

static int set_up(void **state_)
{
	(void)state_;
	open_map();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_at_once), cmocka_unit_test(test_later),
					   cmocka_unit_test(test_of_a_later_connection)};

	return cmocka_run_group_tests_name("repair duty", tests, set_up, NULL);
}
