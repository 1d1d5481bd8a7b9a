/* SPDX-License-Identifier: BSD-2-Clause */
/* From a client's first byte to its route: a hello whole, in pieces, late, cut off, reset, never sent. */
#include "engine/lab.h"

#include <string.h>
#include <sys/socket.h>

static void test_each_route_has_its_backend(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--route", "sni=route-1 -> LAB", "--route", "sni=route-2 -> LAB"));
	for (enum route route = ROUTE_HTTPS; route < ROUTE_RULE + 2; route++) {
		pair = lab_pair(&lab, route);
		assert_int_equal(lab_session(&lab)->route, route);
		assert_int_equal(lab.worker->counters.routed[route], 1);
		assert_int_equal(lab.worker->counters.connected[route], 1);
		lab_hang_up(&lab, pair.client);
		lab_expect_end(&lab, pair.backend);
		lab_hang_up(&lab, pair.backend);
		lab_until(&lab, lab_live(&lab) == 0);
	}
	assert_int_equal(lab.worker->counters.sessions, 4);
	assert_int_equal(lab.worker->counters.hellos[CLIENTHELLO_RULE], 2);
	assert_int_equal(lab_ended(&lab, CAUSE_DONE), 4);
	lab_close(&lab);
}

static void test_what_the_hello_says_is_kept(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_pair(&lab, ROUTE_ACME);
	assert_string_equal(lab_session(&lab)->first_bytes.server_name, "www.example.org");
	assert_true(lab_session(&lab)->first_bytes.is_validation);
	lab_close(&lab);
}

/* The backend gets nothing before the byte that decides the route, and then all bytes. */
static void check_pieces(struct lab *lab, enum route route, size_t piece)
{
	struct lab_hello hello = lab_hello_for(route);
	int client = lab_dial(lab), backend;

	for (size_t at = 0; at < hello.length; at += piece) {
		size_t count = hello.length - at < piece ? hello.length - at : piece;

		lab_send(lab, client, hello.bytes + at, count);
		lab_turn(lab);
	}
	backend = lab_accept(lab, route);
	lab_expect(lab, backend, hello.bytes, hello.length);
	lab_send(lab, backend, "answer", 6);
	lab_expect(lab, client, "answer", 6);
	lab_hang_up(lab, client);
	lab_hang_up(lab, backend);
	lab_until(lab, lab_live(lab) == 0);
}

static void test_a_hello_in_pieces(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--route", "sni=route-1 -> LAB"));
	for (enum route route = ROUTE_HTTPS; route <= ROUTE_RULE; route++) {
		check_pieces(&lab, route, 1);
		check_pieces(&lab, route, 64);
	}
	lab_close(&lab);
}

static void test_nobody_is_asked_before_it_is_decided(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length - 1);
	lab_expect_no_connection(&lab, ROUTE_ACME);
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	assert_int_equal(lab_session(&lab)->state, SESSION_HELLO);
	lab_send(&lab, client, hello.bytes + hello.length - 1, 1);
	lab_expect(&lab, lab_accept(&lab, ROUTE_ACME), hello.bytes, hello.length);
	lab_close(&lab);
}

/* Bytes that follow the hello in its segment reach the backend with it. */
static void test_more_than_a_hello_at_once(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	char bytes[4096] = {0};
	struct lab lab;

	(void)state;
	memcpy(bytes, hello.bytes, hello.length);
	lab_open(&lab, NULL);
	lab_send(&lab, lab_dial(&lab), bytes, sizeof(bytes));
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), bytes, sizeof(bytes));
	lab_close(&lab);
}

/* Everything that is not a valid hello goes to the web server. */
static void check_other(const char *bytes, size_t length, enum clienthello_result result)
{
	struct lab lab;

	lab_open(&lab, LAB("--route", "sni=route-1 -> LAB"));
	lab_send(&lab, lab_dial(&lab), bytes, length);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), bytes, length);
	assert_int_equal(lab.worker->counters.hellos[result], 1);
	lab_close(&lab);
}

static void test_what_is_no_hello_goes_to_https(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\n\r\n", large[] = "\x16\x03\x01\x40\x00\x01\x00\x40\x01",
			  malformed[] = "\x16\x03\x01\x00\x0a\x01\x00\x00\x06\x03\x03\x00\x00\x00\x00";

	(void)state;
	check_other(http, strlen(http), CLIENTHELLO_NOT_TLS);
	check_other(large, sizeof(large) - 1, CLIENTHELLO_TOO_LARGE);
	check_other(malformed, sizeof(malformed) - 1, CLIENTHELLO_MALFORMED);
}

/* A client that closes its side in the middle of a hello goes to the web server. */
static void test_an_end_within_the_hello(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	int client, backend;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, 20);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	lab_expect(&lab, backend, hello.bytes, 20);
	lab_expect_end(&lab, backend);
	lab_send(&lab, backend, "alert", 5);
	lab_expect(&lab, client, "alert", 5);
	lab_hang_up(&lab, backend);
	lab_expect_end(&lab, client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab.worker->counters.hellos[CLIENTHELLO_MORE], 1);
	assert_int_equal(lab_ended(&lab, CAUSE_DONE), 1);
	lab_close(&lab);
}

static void test_the_end_comes_with_the_hello(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	int client, backend;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	backend = lab_accept(&lab, ROUTE_ACME);
	lab_expect(&lab, backend, hello.bytes, hello.length);
	lab_expect_end(&lab, backend);
	lab_close(&lab);
}

static void test_one_that_leaves_without_a_word(void **state)
{
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, LAB("--no-defer-accept"));
	client = lab_dial(&lab);
	lab_until(&lab, lab_live(&lab) == 1);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	lab_expect_end(&lab, client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_CLIENT_LEFT), 1);
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	lab_close(&lab);
}

static void test_a_reset_within_the_hello(void **state)
{
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, "\x16\x03", 2);
	lab_until(&lab, lab_live(&lab) == 1);
	lab_reset(&lab, client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_CLIENT_RESET), 1);
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	lab_close(&lab);
}

static void test_half_a_hello_has_its_time(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	int client, backend;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--hello-timeout", "5s"));
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, 20);
	lab_until(&lab, lab_live(&lab) == 1);
	lab_wait(&lab, 4900);
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	lab_wait(&lab, 100);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	assert_int_equal(lab.worker->counters.hello_timeout, 1);
	/* the rest of the hello no longer matters: the session is the web server's */
	lab_send(&lab, client, hello.bytes + 20, hello.length - 20);
	lab_expect(&lab, backend, hello.bytes, hello.length);
	lab_close(&lab);
}

static void test_silence_is_reset(void **state)
{
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, LAB("--hello-timeout", "5s", "--no-defer-accept"));
	client = lab_dial(&lab);
	lab_until(&lab, lab_live(&lab) == 1);
	lab_wait(&lab, 4900);
	lab_expect_nothing(&lab, client);
	lab_wait(&lab, 100);
	lab_expect_reset(&lab, client);
	assert_int_equal(lab_ended(&lab, CAUSE_HELLO_SILENT), 1);
	assert_int_equal(lab.worker->counters.hello_silent, 1);
	lab_close(&lab);
}

/* The worker does not see a connection before its first byte. */
static void test_silence_stays_in_the_kernel(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_dial(&lab);
	lab_settle(&lab);
	assert_int_equal(lab_live(&lab), 0);
	lab_close(&lab);
}

/* --- in the kernel: the web server is connected ahead of the hello --- */

/* The next connection to the web server, with or without bytes. */
static int accept_ahead(struct lab *lab)
{
	int fd;

	lab_until(lab, (fd = accept(lab->backends[ROUTE_HTTPS], NULL, NULL)) >= 0);
	return lab_keep(lab, fd);
}

static void test_the_first_connection_is_the_one(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	int client, backend;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, 20);
	backend = accept_ahead(&lab);
	lab_settle(&lab);
	lab_send(&lab, client, hello.bytes + 20, hello.length - 20);
	lab_expect(&lab, backend, hello.bytes, hello.length);
	assert_int_equal(lab.worker->counters.connected[ROUTE_HTTPS], 1);
	assert_int_equal(lab_session(&lab)->state, SESSION_OPEN);
	lab_close(&lab);
}

static void test_a_validation_leaves_it_unused(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	int client, backend;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, 20);
	backend = accept_ahead(&lab);
	lab_expect_nothing(&lab, backend);
	lab_send(&lab, client, hello.bytes + 20, hello.length - 20);
	lab_expect(&lab, lab_accept(&lab, ROUTE_ACME), hello.bytes, hello.length);
	lab_expect_end(&lab, backend);
	lab_close(&lab);
}

/* A connection that closes before it is used is replaced by another. */
static void test_it_goes_before_the_hello(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, NULL);
	for (int i = 0; i < 2; i++) {
		client = lab_dial(&lab);
		lab_send(&lab, client, hello.bytes, 20);
		if (i)
			lab_reset(&lab, accept_ahead(&lab));
		else
			lab_hang_up(&lab, accept_ahead(&lab));
		lab_settle(&lab);
		lab_send(&lab, client, hello.bytes + 20, hello.length - 20);
		lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
		lab_reset(&lab, client);
		lab_until(&lab, lab_live(&lab) == 0);
	}
	lab_close(&lab);
}

/* If the backend refuses it, alpnbpf tries again once the route is known. */
static void test_it_is_refused_ahead(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, NULL);
	lab_unlisten(&lab, ROUTE_HTTPS);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, 20);
	lab_until(&lab, lab_live(&lab) == 1);
	lab_settle(&lab);
	assert_int_equal(lab.worker->counters.connect_failed[ROUTE_HTTPS], 0);
	lab_listen(&lab, ROUTE_HTTPS);
	lab_send(&lab, client, hello.bytes + 20, hello.length - 20);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	lab_close(&lab);
}

/* No connection is made ahead with rules or with a PROXY header. */
static void test_when_it_is_not_made_ahead(void **state)
{
	static const char *const words[][2] = {{"--route", "sni=route-1 -> LAB"}, {"--proxy-protocol", "https=v2"}};
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	struct lab lab;
	int client;

	(void)state;
	for (int i = 0; i < 2; i++) {
		lab_open(&lab, LAB(words[i][0], words[i][1]));
		client = lab_dial(&lab);
		lab_send(&lab, client, hello.bytes, 20);
		lab_until(&lab, lab_live(&lab) == 1);
		lab_settle(&lab);
		assert_int_equal(accept(lab.backends[ROUTE_HTTPS], NULL, NULL), -1);
		lab_send(&lab, client, hello.bytes + 20, hello.length - 20);
		lab_expect(&lab, lab_accept(&lab, ROUTE_ACME), hello.bytes, hello.length);
		lab_close(&lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_route_has_its_backend),
		cmocka_unit_test(test_what_the_hello_says_is_kept),
		cmocka_unit_test(test_a_hello_in_pieces),
		cmocka_unit_test(test_nobody_is_asked_before_it_is_decided),
		cmocka_unit_test(test_more_than_a_hello_at_once),
		cmocka_unit_test(test_what_is_no_hello_goes_to_https),
		cmocka_unit_test(test_an_end_within_the_hello),
		cmocka_unit_test(test_the_end_comes_with_the_hello),
		cmocka_unit_test(test_one_that_leaves_without_a_word),
		cmocka_unit_test(test_a_reset_within_the_hello),
		cmocka_unit_test(test_half_a_hello_has_its_time),
		cmocka_unit_test(test_silence_is_reset),
		cmocka_unit_test(test_silence_stays_in_the_kernel),
	};
	const struct CMUnitTest sockmap_tests[] = {
		cmocka_unit_test(test_the_first_connection_is_the_one),
		cmocka_unit_test(test_a_validation_leaves_it_unused),
		cmocka_unit_test(test_it_goes_before_the_hello),
		cmocka_unit_test(test_it_is_refused_ahead),
		cmocka_unit_test(test_when_it_is_not_made_ahead),
	};

	return lab_run_tests(tests) + lab_run_tests_with(DATAPLANE_SOCKMAP, sockmap_tests);
}
