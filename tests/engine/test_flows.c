/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of an open session, both ways: exact, blocked, ended by either side in any order, reset, idle. */
#include "engine/lab.h"

#include <string.h>
#include <sys/socket.h>

#define MANY ((size_t)3 << 20)

static void test_bytes_are_exact_both_ways(void **state)
{
	uint64_t up = 0, down = 0;
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	for (size_t length = 1; length < MANY; length = length * 3 + 1) {
		lab_move(&lab, pair.client, pair.backend, length, &up);
		lab_move(&lab, pair.backend, pair.client, length, &down);
	}
	lab_hang_up(&lab, pair.client);
	lab_expect_end(&lab, pair.backend);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab.worker->counters.bytes_user + lab.worker->counters.bytes_kernel,
			 up + down + lab_hello_for(ROUTE_HTTPS).length);
	assert_true(dataplane_has_verdict(&lab.program.engine.dataplane) == (lab.worker->counters.bytes_kernel > 0));
	lab_close(&lab);
}

/* --- ends --- */

static void test_the_client_ends_first(void **state)
{
	struct lab_pair pair;
	uint64_t down = 0;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_send(&lab, pair.client, "bye", 3);
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	lab_expect(&lab, pair.backend, "bye", 3);
	lab_expect_end(&lab, pair.backend);
	lab_move(&lab, pair.backend, pair.client, MANY, &down);
	assert_int_equal(lab_live(&lab), 1);
	lab_hang_up(&lab, pair.backend);
	lab_expect_end(&lab, pair.client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_DONE), 1);
	lab_close(&lab);
}

static void test_the_backend_ends_first(void **state)
{
	struct lab_pair pair;
	uint64_t up = 0;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_send(&lab, pair.backend, "bye", 3);
	assert_int_equal(shutdown(pair.backend, SHUT_WR), 0);
	lab_expect(&lab, pair.client, "bye", 3);
	lab_expect_end(&lab, pair.client);
	lab_move(&lab, pair.client, pair.backend, MANY, &up);
	assert_int_equal(lab_live(&lab), 1);
	lab_hang_up(&lab, pair.client);
	lab_expect_end(&lab, pair.backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_DONE), 1);
	lab_close(&lab);
}

/* The end of a stream waits until the bytes before it have been sent. */
static void test_an_end_comes_after_the_last_byte(void **state)
{
	struct lab_pair pair;
	struct lab lab;
	size_t total;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	total = lab_fill(&lab, pair.client, 0);
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	lab_settle(&lab);
	lab_expect_pattern(&lab, pair.backend, total, 0);
	lab_expect_end(&lab, pair.backend);
	lab_close(&lab);
}

/* --- resets --- */

static void test_a_reset_of_the_client_is_passed_on(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_reset(&lab, pair.client);
	lab_expect_reset(&lab, pair.backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_CLIENT_RESET), 1);
	lab_close(&lab);
}

static void test_a_reset_of_the_backend_is_passed_on(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_reset(&lab, pair.backend);
	lab_expect_reset(&lab, pair.client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_BACKEND_RESET), 1);
	lab_close(&lab);
}

/*
 * A backend refuses an upload: it answers, and closes with bytes unread, which resets. The client gets the answer
 * first.
 */
static void test_an_answer_goes_before_the_reset(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_fill(&lab, pair.client, 0);
	lab_send(&lab, pair.backend, "413", 3);
	lab_hang_up(&lab, pair.backend);
	lab_expect(&lab, pair.client, "413", 3);
	lab_expect_reset(&lab, pair.client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_BACKEND_RESET), 1);
	lab_close(&lab);
}

/* One side is gone, the other does not read the last bytes: the session ends all the same. */
static void test_last_bytes_have_their_time(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_fill(&lab, pair.backend, 0);
	lab_reset(&lab, pair.backend);
	lab_settle(&lab);
	assert_int_equal(lab_live(&lab), 1);
	lab_wait(&lab, 4900);
	assert_int_equal(lab_live(&lab), 1);
	lab_wait_until(&lab, 200, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_BACKEND_RESET), 1);
	lab_close(&lab);
}

static void test_both_reset(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_fill(&lab, pair.backend, 0);
	lab_fill(&lab, pair.client, 0);
	lab_reset(&lab, pair.backend);
	lab_reset(&lab, pair.client);
	lab_until(&lab, lab_live(&lab) == 0);
	lab_close(&lab);
}

/* --- back-pressure --- */

static void test_a_peer_that_does_not_read_stops_the_other(void **state)
{
	uint64_t down = 0, up = 0;
	struct lab_pair pair;
	size_t filled;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--buffer", "256K"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	filled = lab_fill(&lab, pair.client, 0);
	/* our buffer, the client's send buffer and the backend's receive buffer; the kernel chooses their sizes */
	assert_true(filled < (size_t)16 << 20);
	assert_true(filled > (size_t)64 << 10);
	/* the other direction is not blocked */
	lab_move(&lab, pair.backend, pair.client, MANY, &down);
	lab_expect_pattern(&lab, pair.backend, filled, 0);
	up = filled;
	lab_move(&lab, pair.client, pair.backend, MANY, &up);
	lab_close(&lab);
}

/* Sends bytes of the pattern a few at a time, so that the worker's reads are short. Returns how many. */
static size_t sip(struct lab *lab, int fd, size_t offset)
{
	uint8_t bytes[1000];
	ssize_t sent;

	lab_pattern(bytes, sizeof(bytes), offset);
	sent = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
	lab_turn(lab);
	return sent > 0 ? (size_t)sent : 0;
}

/* A few bytes were read, and the other side has no room: they are held, and sent first. */
static void test_a_few_bytes_are_held(void **state)
{
	struct lab_pair pair;
	struct lab lab;
	size_t total = 0;

	(void)state;
	lab_open(&lab, LAB("--buffer", "64K"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_until(&lab, (total += sip(&lab, pair.client, total), lab_session(&lab)->sides[CLIENT].unsent));
	lab_expect_pattern(&lab, pair.backend, total, 0);
	assert_null(lab_session(&lab)->sides[CLIENT].unsent);
	lab_close(&lab);
}

static void test_urgent_bytes_stay_in_line(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_send(&lab, pair.client, "before", 6);
	assert_int_equal(send(pair.client, "!", 1, MSG_OOB), 1);
	lab_send(&lab, pair.client, "behind", 6);
	lab_expect(&lab, pair.backend, "before!behind", 13);
	lab_close(&lab);
}

/* --- the kernel --- */

static void converse(struct lab *lab, struct lab_pair pair, int turns)
{
	for (int i = 0; i < turns; i++) {
		lab_send(lab, pair.client, "?", 1);
		lab_expect(lab, pair.backend, "?", 1);
		lab_send(lab, pair.backend, "!", 1);
		lab_expect(lab, pair.client, "!", 1);
	}
}

/* A session with many turns is promoted to the kernel; no byte and no end is lost. */
static void test_a_conversation_is_promoted(void **state)
{
	uint64_t up = 0, down = 0;
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--dataplane", "auto"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	assert_false(lab_session(&lab)->sides[CLIENT].in_map);
	converse(&lab, pair, 10);
	assert_false(lab_session(&lab)->sides[CLIENT].in_map);
	converse(&lab, pair, 100);
	lab_until(&lab, lab_session(&lab)->sides[CLIENT].in_map && lab_session(&lab)->sides[BACKEND].in_map);
	lab_move(&lab, pair.client, pair.backend, MANY, &up);
	lab_move(&lab, pair.backend, pair.client, MANY, &down);
	lab_hang_up(&lab, pair.client);
	lab_expect_end(&lab, pair.backend);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_true(lab.worker->counters.bytes_kernel > 0);
	assert_int_equal(lab.worker->counters.bytes_user + lab.worker->counters.bytes_kernel,
			 up + down + 2 * 110 + lab_hello_for(ROUTE_HTTPS).length);
	lab_close(&lab);
}

/* Bytes in one direction only: user space moves those as cheaply. */
static void test_a_download_is_not_promoted(void **state)
{
	struct lab_pair pair;
	uint64_t down = 0;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--dataplane", "auto"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	for (int i = 0; i < 100; i++)
		lab_move(&lab, pair.backend, pair.client, 1000, &down);
	assert_false(lab_session(&lab)->sides[CLIENT].in_map);
	lab_close(&lab);
}

/* --- time --- */

static void test_an_idle_session_ends(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--idle-timeout", "10m"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	for (int minute = 0; minute < 9; minute++)
		lab_wait(&lab, 60000);
	lab_send(&lab, pair.backend, ".", 1);
	lab_expect(&lab, pair.client, ".", 1);
	for (int minute = 0; minute < 9; minute++)
		lab_wait(&lab, 60000);
	assert_int_equal(lab_live(&lab), 1);
	lab_wait_until(&lab, 60000, lab_live(&lab) == 0);
	lab_expect_end(&lab, pair.client);
	lab_expect_end(&lab, pair.backend);
	assert_int_equal(lab_ended(&lab, CAUSE_IDLE_TIMEOUT), 1);
	lab_close(&lab);
}

/* Bytes that the peer did not read are lost: the sender must see a reset. */
static void test_an_idle_session_that_holds_bytes_is_reset(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--idle-timeout", "1m"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_fill(&lab, pair.client, 0);
	lab_wait_until(&lab, 1000, lab_live(&lab) == 0);
	lab_expect_reset(&lab, pair.client);
	assert_int_equal(lab_ended(&lab, CAUSE_IDLE_TIMEOUT), 1);
	lab_close(&lab);
}

static void test_without_a_timeout_idle_sessions_live(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--idle-timeout", "0"));
	lab_pair(&lab, ROUTE_HTTPS);
	lab_wait(&lab, (uint64_t)30 * 24 * 3600 * 1000);
	assert_int_equal(lab_live(&lab), 1);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_are_exact_both_ways),
		cmocka_unit_test(test_the_client_ends_first),
		cmocka_unit_test(test_the_backend_ends_first),
		cmocka_unit_test(test_an_end_comes_after_the_last_byte),
		cmocka_unit_test(test_a_reset_of_the_client_is_passed_on),
		cmocka_unit_test(test_a_reset_of_the_backend_is_passed_on),
		cmocka_unit_test(test_an_answer_goes_before_the_reset),
		cmocka_unit_test(test_last_bytes_have_their_time),
		cmocka_unit_test(test_both_reset),
		cmocka_unit_test(test_a_peer_that_does_not_read_stops_the_other),
		cmocka_unit_test(test_urgent_bytes_stay_in_line),
		cmocka_unit_test(test_an_idle_session_ends),
		cmocka_unit_test(test_without_a_timeout_idle_sessions_live),
	};
	const struct CMUnitTest user_tests[] = {
		/* not with the sockmap: there the bytes stay in the kernel */
		cmocka_unit_test(test_a_few_bytes_are_held),
		/* nor this one: the clock must not move while the kernel has bytes to deliver */
		cmocka_unit_test(test_an_idle_session_that_holds_bytes_is_reset),
	};
	const struct CMUnitTest sockmap_tests[] = {
		cmocka_unit_test(test_a_conversation_is_promoted),
		cmocka_unit_test(test_a_download_is_not_promoted),
	};

	return lab_run_tests(tests) + lab_run_tests_with(DATAPLANE_USER, user_tests) +
	       lab_run_tests_with(DATAPLANE_SOCKMAP, sockmap_tests);
}
