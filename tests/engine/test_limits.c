/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of sessions: per worker, per source, by descriptors; draining and stopping, when none may begin. */
#include "engine/lab.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_a_full_worker_lets_them_wait(void **state)
{
	struct lab_pair pairs[2];
	struct lab_hello hello;
	struct lab lab;
	int third;

	(void)state;
	lab_open(&lab, LAB("--max-connections", "2"));
	pairs[0] = lab_pair(&lab, ROUTE_HTTPS);
	pairs[1] = lab_pair(&lab, ROUTE_HTTPS);
	hello = lab_hello_for(ROUTE_HTTPS);
	third = lab_dial(&lab);
	lab_send(&lab, third, hello.bytes, hello.length);
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	lab_expect_nothing(&lab, third);
	assert_int_equal(lab_live(&lab), 2);
	lab_hang_up(&lab, pairs[0].client);
	lab_hang_up(&lab, pairs[0].backend);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	assert_int_equal(lab_live(&lab), 2);
	lab_close(&lab);
}

static void test_a_source_has_its_share(void **state)
{
	struct lab_hello hello;
	struct lab_pair pair;
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, LAB("--max-per-source", "1"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	hello = lab_hello_for(ROUTE_HTTPS);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length);
	lab_expect_reset(&lab, client);
	assert_int_equal(lab.worker->counters.source_refused, 1);
	assert_int_equal(lab.worker->counters.sessions, 1);
	/* another source */
	client = lab_dial_from(&lab, "127.0.0.2");
	lab_send(&lab, client, hello.bytes, hello.length);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	/* the first source again */
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, lab_live(&lab) == 1);
	lab_pair(&lab, ROUTE_HTTPS);
	lab_close(&lab);
}

/* Without a descriptor for accept() the worker waits a moment, instead of retrying at once. */
static void test_without_descriptors_it_backs_off(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	struct rlimit limit, low;
	struct lab lab;
	int client, next;

	(void)state;
	lab_open(&lab, NULL);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length);
	next = dup(client);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	lab_until(&lab, lab.worker->counters.accept_backoffs == 1);
	lab_settle(&lab);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(lab.worker->counters.accept_backoffs, 1);
	assert_int_equal(lab_live(&lab), 0);
	lab_wait(&lab, 100);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	lab_close(&lab);
}

/* Without a descriptor for the backend the client is reset when the connect timeout ends. */
static void test_without_a_descriptor_for_the_backend(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	struct rlimit limit, low;
	struct lab lab;
	int client, next;

	(void)state;
	lab_open(&lab, LAB("--connect-timeout", "1s"));
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length);
	next = dup(client);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	lab_until(&lab, lab.worker->counters.connect_retries > 0);
	assert_int_equal(lab.worker->backends[ROUTE_HTTPS].error, -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	lab_wait(&lab, 500);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	lab_close(&lab);
}

/* --- the end --- */

static void test_draining_serves_those_there_are(void **state)
{
	uint64_t up = 0;
	struct lab_hello hello;
	struct lab_pair pair;
	struct lab lab;
	int waiting, late;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	hello = lab_hello_for(ROUTE_ACME);
	/* the kernel has completed this handshake before the drain */
	waiting = lab_dial(&lab);
	lab_send(&lab, waiting, hello.bytes, hello.length);
	worker_tell(lab.worker, WORKER_DRAIN);
	lab_expect(&lab, lab_accept(&lab, ROUTE_ACME), hello.bytes, hello.length);
	late = lab_dial(&lab);
	lab_until(&lab, send(late, "", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED);
	lab_move(&lab, pair.client, pair.backend, 1 << 20, &up);
	assert_int_equal(lab.over, 0);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	lab_hang_up(&lab, waiting);
	lab_until(&lab, lab_live(&lab) == 1);
	assert_int_equal(lab.over, 0);
	lab_wait(&lab, 15000); /* for an answer */
	lab_until(&lab, lab.over);
	lab_close(&lab);
}

static void test_stopping_resets_those_there_are(void **state)
{
	struct lab_pair pairs[2];
	struct lab lab;
	int half;

	(void)state;
	lab_open(&lab, NULL);
	pairs[0] = lab_pair(&lab, ROUTE_HTTPS);
	pairs[1] = lab_pair(&lab, ROUTE_ACME);
	half = lab_dial(&lab);
	lab_send(&lab, half, "\x16", 1);
	lab_until(&lab, lab_live(&lab) == 3);
	worker_tell(lab.worker, WORKER_STOP);
	lab_until(&lab, lab.over);
	for (int i = 0; i < 2; i++) {
		lab_expect_reset(&lab, pairs[i].client);
		lab_expect_reset(&lab, pairs[i].backend);
	}
	lab_expect_reset(&lab, half);
	assert_int_equal(lab_ended(&lab, CAUSE_SHUTDOWN), 3);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_full_worker_lets_them_wait),
		cmocka_unit_test(test_a_source_has_its_share),
		cmocka_unit_test(test_without_descriptors_it_backs_off),
		cmocka_unit_test(test_without_a_descriptor_for_the_backend),
		cmocka_unit_test(test_draining_serves_those_there_are),
		cmocka_unit_test(test_stopping_resets_those_there_are),
	};

	return lab_run_tests(tests);
}
