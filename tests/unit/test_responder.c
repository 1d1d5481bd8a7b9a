// SPDX-License-Identifier: BSD-2-Clause
/* The queue in front of the ACME responder: who is next, how many at a time, who makes way. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "base/timer.h"
#include "engine/responder.h"

#define MS US_PER_MS

static unsigned int wakes;

static void wake(void *context, unsigned int worker)
{
	(void)context;
	(void)worker;
	wakes++;
}

static struct address source(const char *text)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET6, text, &v6) == 1)
		return address_v6(&v6, 50000);
	return address_v4(ntohl(inet_addr(text)), 50000);
}

static uint64_t now;

static struct responder *new_responder(unsigned int waiting, unsigned int served)
{
	struct responder *responder = responder_new(2, waiting, served, wake, NULL);

	assert_non_null(responder);
	now = 1000000;
	wakes = 0;
	return responder;
}

static void enter(struct responder *responder, struct seat *seat, const char *from)
{
	struct address address = source(from);

	responder_enter(responder, seat, &address, 0, now);
}

static enum seat_state state_of(struct responder *responder, struct seat *seat)
{
	return responder_view(responder, seat, now).state;
}

/* Serves it from its answer to its end, in `ms`. */
static void serve(struct responder *responder, struct seat *seat, unsigned int ms, enum seat_end end)
{
	assert_int_equal(state_of(responder, seat), SEAT_GIVEN);
	responder_answered(responder, seat, now);
	now += ms * MS;
	responder_leave(responder, seat, end, now);
}

/* The responder has shown that it serves one at a time. */
static void make_serial(struct responder *responder)
{
	struct seat first = {0}, second = {0};

	enter(responder, &first, "192.0.2.1");
	enter(responder, &second, "192.0.2.2");
	responder_answered(responder, &first, now);
	now += 500 * MS;
	responder_leave(responder, &first, SEAT_UNDECIDED, now);
	responder_answered(responder, &second, now);
	assert_int_equal(responder_width(responder), 1);
	responder_leave(responder, &second, SEAT_UNDECIDED, now);
}

static void test_one_at_a_time_is_learned(void **state)
{
	struct responder *responder = new_responder(16, 16);
	struct seat seats[3] = {0};

	(void)state;
	make_serial(responder);
	for (int i = 0; i < 3; i++)
		enter(responder, &seats[i], "198.51.100.1");
	assert_int_equal(state_of(responder, &seats[0]), SEAT_GIVEN);
	assert_int_equal(state_of(responder, &seats[1]), SEAT_WAITING);
	serve(responder, &seats[0], 5, SEAT_WENT_WELL);
	assert_int_equal(state_of(responder, &seats[1]), SEAT_GIVEN);
	assert_int_equal(state_of(responder, &seats[2]), SEAT_WAITING);
	serve(responder, &seats[1], 5, SEAT_WENT_WELL);
	serve(responder, &seats[2], 5, SEAT_WENT_WELL);
	responder_free(responder);
}

static void test_many_at_a_time_is_learned(void **state)
{
	struct responder *responder = new_responder(64, 40);
	struct seat seats[64] = {0}, *seat;
	unsigned int given = 0;

	(void)state;
	for (int i = 0; i < 64; i++)
		enter(responder, &seats[i], "198.51.100.1");
	/* It answers each at once, and they stay open: */
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 64; i++)
			if (state_of(responder, &seats[i]) == SEAT_GIVEN)
				responder_answered(responder, &seats[i], now);
		while ((seat = responder_called(responder, 0)))
			if (responder_view(responder, seat, now).asked)
				responder_tell(responder, seat, true, now);
		now += 1 * MS;
	}
	for (int i = 0; i < 64; i++)
		given += state_of(responder, &seats[i]) == SEAT_ANSWERED;
	assert_int_equal(given, 40);
	for (int i = 0; i < 64; i++)
		responder_leave(responder, &seats[i], SEAT_WENT_WELL, now);
	assert_int_equal(responder_waiting(responder), 0);
	responder_free(responder);
}

/* One that has closed a connection before it answers the next has not served two at a time. */
static void test_a_connection_that_has_ended_proves_nothing(void **state)
{
	struct responder *responder = new_responder(16, 16);
	struct seat seats[3] = {0}, *seat;

	(void)state;
	for (int i = 0; i < 3; i++)
		enter(responder, &seats[i], "198.51.100.1");
	responder_answered(responder, &seats[0], now);
	responder_answered(responder, &seats[1], now);
	seat = responder_called(responder, 0);
	while (seat && !responder_view(responder, seat, now).asked)
		seat = responder_called(responder, 0);
	assert_ptr_equal(seat, &seats[0]);
	responder_tell(responder, seat, false, now);
	assert_int_equal(responder_width(responder), 2);
	assert_int_equal(state_of(responder, &seats[2]), SEAT_WAITING);
	for (int i = 0; i < 3; i++)
		responder_leave(responder, &seats[i], SEAT_UNDECIDED, now);
	responder_free(responder);
}

/* Another responder may listen there now. Every now and then it gets one more. */
static void test_it_is_tried_again(void **state)
{
	struct responder *responder = new_responder(16, 16);
	struct seat seats[4] = {0};

	(void)state;
	make_serial(responder);
	for (int i = 0; i < 4; i++)
		enter(responder, &seats[i], "198.51.100.1");
	responder_answered(responder, &seats[0], now);
	now += 200 * MS;
	assert_true(responder_look(responder, now) > now);
	assert_int_equal(state_of(responder, &seats[1]), SEAT_WAITING);
	now += 100 * MS;
	responder_look(responder, now);
	assert_int_equal(state_of(responder, &seats[1]), SEAT_GIVEN);
	assert_int_equal(state_of(responder, &seats[2]), SEAT_WAITING);
	responder_answered(responder, &seats[1], now);
	assert_true(responder_view(responder, &seats[0], now).asked);
	responder_tell(responder, &seats[0], true, now);
	assert_int_equal(responder_width(responder), 4);
	assert_int_equal(state_of(responder, &seats[3]), SEAT_GIVEN);
	for (int i = 0; i < 4; i++)
		responder_leave(responder, &seats[i], SEAT_UNDECIDED, now);
	responder_free(responder);
}

/* Serial, with one being served: in which order do these sources come? */
static void expect_order(struct responder *responder, const char *const *came, const char *const *served)
{
	struct seat first = {0}, seats[8] = {0};
	int count = 0;

	enter(responder, &first, "192.0.2.200");
	for (; came[count]; count++) {
		now += 10 * MS;
		enter(responder, &seats[count], came[count]);
	}
	serve(responder, &first, 1, SEAT_UNDECIDED);
	for (int turn = 0; turn < count; turn++) {
		int at = 0;

		while (at < count && state_of(responder, &seats[at]) != SEAT_GIVEN)
			at++;
		assert_true(at < count);
		assert_string_equal(came[at], served[turn]);
		serve(responder, &seats[at], 1, SEAT_UNDECIDED);
	}
}

static void stall(struct responder *responder, const char *from)
{
	struct seat seat = {0};

	enter(responder, &seat, from);
	serve(responder, &seat, 1, SEAT_STALLED);
	now += 10 * MS;
}

static void prove(struct responder *responder, const char *from)
{
	struct seat seat = {0};

	enter(responder, &seat, from);
	serve(responder, &seat, 1, SEAT_WENT_WELL);
	now += 10 * MS;
}

#define ORDER(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_who_is_next(void **state)
{
	struct responder *responder = new_responder(16, 16);

	(void)state;
	make_serial(responder);
	/* the newest source first, of one source the first */
	expect_order(responder, ORDER("203.0.113.1", "198.18.1.1", "198.18.1.2", "198.18.2.1"),
		     ORDER("198.18.2.1", "198.18.1.1", "198.18.1.2", "203.0.113.1"));
	/* then those that stalled, who did so longest ago first */
	stall(responder, "203.0.113.1");
	stall(responder, "198.18.2.1");
	expect_order(responder, ORDER("198.18.2.1", "203.0.113.1", "198.18.3.1"),
		     ORDER("198.18.3.1", "203.0.113.1", "198.18.2.1"));
	/* those that went well before all others */
	prove(responder, "198.18.4.1");
	expect_order(responder, ORDER("198.18.4.1", "198.18.5.1", "203.0.113.1"),
		     ORDER("198.18.4.1", "198.18.5.1", "203.0.113.1"));
	/* within a prefix that stalled, other addresses before those that did */
	expect_order(responder, ORDER("203.0.113.1", "203.0.113.7"), ORDER("203.0.113.7", "203.0.113.1"));
	/* what a source did is made up for, and forgotten */
	prove(responder, "203.0.113.1");
	expect_order(responder, ORDER("198.18.6.1", "203.0.113.1"), ORDER("203.0.113.1", "198.18.6.1"));
	stall(responder, "203.0.113.1");
	now += 700 * 1000 * MS;
	expect_order(responder, ORDER("198.18.6.1", "203.0.113.1"), ORDER("198.18.6.1", "203.0.113.1"));
	/* IPv6: /48, then /64 */
	stall(responder, "2001:db8:1:1::1");
	expect_order(responder, ORDER("2001:db8:1:1::2", "2001:db8:1:2::1", "2001:db8:2:1::1"),
		     ORDER("2001:db8:2:1::1", "2001:db8:1:2::1", "2001:db8:1:1::2"));
	responder_free(responder);
}

static void test_prefixes_share_what_there_is(void **state)
{
	struct responder *responder = new_responder(16, 16);
	struct seat many[4] = {0}, one = {0};

	(void)state;
	prove(responder, "198.18.1.1"); /* the same standing */
	prove(responder, "198.18.2.1");
	for (int i = 0; i < 4; i++)
		enter(responder, &many[i], "198.18.1.1");
	enter(responder, &one, "198.18.2.1");
	serve(responder, &many[0], 1, SEAT_UNDECIDED);
	/* one of the first prefix is still served, so it is the other's turn */
	assert_int_equal(state_of(responder, &many[1]), SEAT_GIVEN);
	assert_int_equal(state_of(responder, &one), SEAT_GIVEN);
	for (int i = 1; i < 4; i++)
		responder_leave(responder, &many[i], SEAT_UNDECIDED, now);
	responder_leave(responder, &one, SEAT_UNDECIDED, now);
	responder_free(responder);
}

static void test_too_many_wait(void **state)
{
	struct responder *responder = new_responder(4, 1);
	struct seat served = {0}, flood[8] = {0}, ca = {0};
	char from[32];
	int lost = 0;

	(void)state;
	stall(responder, "198.18.1.1");
	enter(responder, &served, "198.18.1.1");
	for (int i = 0; i < 8; i++) {
		snprintf(from, sizeof(from), "198.18.1.%d", i + 1);
		enter(responder, &flood[i], from);
	}
	enter(responder, &ca, "203.0.113.1");
	assert_int_equal(responder_waiting(responder), 4);
	assert_int_equal(state_of(responder, &ca), SEAT_WAITING);
	for (int i = 0; i < 8; i++)
		lost += state_of(responder, &flood[i]) == SEAT_LOST;
	assert_int_equal(lost, 5);
	serve(responder, &served, 1, SEAT_STALLED);
	assert_int_equal(state_of(responder, &ca), SEAT_GIVEN);
	responder_leave(responder, &ca, SEAT_WENT_WELL, now);
	for (int i = 0; i < 8; i++)
		responder_leave(responder, &flood[i], SEAT_UNDECIDED, now);
	responder_free(responder);
}

static void test_silence_is_allowed_for(void **state)
{
	struct responder *responder = new_responder(8, 1);
	struct seat seats[4] = {0};
	struct seat_view view;

	(void)state;
	enter(responder, &seats[0], "198.18.1.1");
	view = responder_view(responder, &seats[0], now);
	assert_false(view.pressed);
	wakes = 0;
	enter(responder, &seats[1], "198.18.1.1");
	view = responder_view(responder, &seats[0], now);
	assert_true(view.pressed);
	assert_true(wakes > 0); /* the one served is told */
	assert_int_equal(view.allowance, 1000 * MS);
	serve(responder, &seats[0], 1, SEAT_STALLED);
	/* the second time less, and the less the more wait */
	view = responder_view(responder, &seats[1], now);
	assert_int_equal(view.allowance, 300 * MS);
	enter(responder, &seats[2], "198.18.1.1");
	enter(responder, &seats[3], "198.18.1.1");
	view = responder_view(responder, &seats[1], now);
	assert_int_equal(view.allowance, 100 * MS);
	for (int i = 1; i < 4; i++)
		responder_leave(responder, &seats[i], SEAT_UNDECIDED, now);
	responder_free(responder);
}

/* One stall is an accident. After two, unknown sources have less time; those that went well have not. */
static void test_a_siege(void **state)
{
	struct responder *responder = new_responder(8, 4);
	struct seat unknown = {0}, proved = {0};

	(void)state;
	prove(responder, "203.0.113.1");
	stall(responder, "198.18.1.1");
	enter(responder, &unknown, "198.18.3.1");
	enter(responder, &proved, "203.0.113.1");
	assert_int_equal(responder_view(responder, &unknown, now).allowance, 1000 * MS);
	responder_leave(responder, &unknown, SEAT_UNDECIDED, now);
	stall(responder, "198.18.2.1");
	enter(responder, &unknown, "198.18.3.1");
	assert_int_equal(responder_view(responder, &unknown, now).allowance, 150 * MS);
	assert_int_equal(responder_view(responder, &proved, now).allowance, 1000 * MS);
	now += 11000 * MS;
	assert_int_equal(responder_view(responder, &unknown, now).allowance, 1000 * MS);
	responder_leave(responder, &unknown, SEAT_UNDECIDED, now);
	responder_leave(responder, &proved, SEAT_UNDECIDED, now);
	responder_free(responder);
}

/* 50,000 prefixes: the history has room for a part of them, and nothing grows. */
static void test_sources_without_end(void **state)
{
	struct responder *responder = new_responder(8, 8);
	char from[32];

	(void)state;
	prove(responder, "203.0.113.1");
	for (int i = 0; i < 50000; i++) {
		snprintf(from, sizeof(from), "%d.%d.%d.1", 10 + i / 65536, i / 256 % 256, i % 256);
		stall(responder, from);
	}
	make_serial(responder);
	expect_order(responder, ORDER("10.195.79.1", "203.0.113.1"), ORDER("203.0.113.1", "10.195.79.1"));
	responder_free(responder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_at_a_time_is_learned),
		cmocka_unit_test(test_many_at_a_time_is_learned),
		cmocka_unit_test(test_a_connection_that_has_ended_proves_nothing),
		cmocka_unit_test(test_it_is_tried_again),
		cmocka_unit_test(test_who_is_next),
		cmocka_unit_test(test_prefixes_share_what_there_is),
		cmocka_unit_test(test_too_many_wait),
		cmocka_unit_test(test_silence_is_allowed_for),
		cmocka_unit_test(test_a_siege),
		cmocka_unit_test(test_sources_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
