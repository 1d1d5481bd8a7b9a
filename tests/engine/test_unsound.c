/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker that was broken into writes what it likes into the memory and the socket that the main thread reads. */
#include "engine/lab.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/trace.h"
#include "operate/operate.h"

static struct trace_record sound_record(void)
{
	struct trace_record record = {.time = {.tv_sec = 1700000000},
				      .client = address_v4(INADDR_LOOPBACK, 40000),
				      .asked = ROUTE_ACME,
				      .route = ROUTE_HTTPS};

	snprintf(record.hello.server_name, sizeof(record.hello.server_name), "www.example.org");
	return record;
}

static struct session_snapshot sound_session(void)
{
	struct session_snapshot session = {
		.state = SESSION_OPEN, .route = ROUTE_HTTPS, .client = address_v4(INADDR_LOOPBACK, 40000)};

	snprintf(session.server_name, sizeof(session.server_name), "www.example.org");
	return session;
}

#define EXPECT_UNSOUND(sound, is_sound, change)                                                                        \
	do {                                                                                                           \
		__typeof__(sound()) it = sound();                                                                      \
                                                                                                                       \
		assert_true(is_sound(&it));                                                                            \
		change;                                                                                                \
		assert_false(is_sound(&it));                                                                           \
	} while (0)
#define BAD_RECORD(change)  EXPECT_UNSOUND(sound_record, trace_record_is_sound, change)
#define BAD_SESSION(change) EXPECT_UNSOUND(sound_session, session_snapshot_is_sound, change)

static void test_records(void **state)
{
	(void)state;
	BAD_RECORD(it.time.tv_sec = -1);
	BAD_RECORD(it.time.tv_sec = LONG_MAX);
	BAD_RECORD(it.time.tv_nsec = 1000000000);
	BAD_RECORD(it.client.len = 0);
	BAD_RECORD(it.client.sa.sa_family = AF_UNIX; it.client.len = sizeof(it.client.un) + 1);
	BAD_RECORD(it.client.sa.sa_family = 99);
	BAD_RECORD(it.backend.len = 1);
	BAD_RECORD(it.asked = (enum route)ROUTES);
	BAD_RECORD(it.route = (enum route) - 1);
	BAD_RECORD(it.cause = (enum session_cause)CAUSES);
	BAD_RECORD(it.hello.result = (enum clienthello_result)CLIENTHELLO_RESULTS);
	BAD_RECORD(it.hello.alpn_length = HELLO_ALPN_MAX + 1);
	BAD_RECORD(memset(it.hello.server_name, 'x', sizeof(it.hello.server_name)));
	BAD_RECORD(it.hello.server_name[3] = '\x1b');
}

static void test_sessions(void **state)
{
	(void)state;
	BAD_SESSION(it.state = (enum session_state)(SESSION_CLOSING + 1));
	BAD_SESSION(it.route = (enum route)ROUTES);
	BAD_SESSION(it.client.len = 3);
	BAD_SESSION(it.backend.len = 3);
	BAD_SESSION(memset(it.server_name, 'x', sizeof(it.server_name)));
	BAD_SESSION(it.server_name[0] = '\n');
}

/* The answer is written as if by the worker, which does not run. */
static void answer(struct lab *lab, uint32_t count)
{
	snapshot_ask(&lab->program.engine, SNAPSHOT_SESSIONS);
	assert_false(snapshot_is_complete(&lab->program.engine));
	lab->worker->shared->answer.kind = SNAPSHOT_SESSIONS;
	lab->worker->shared->answer.session_count = count;
	atomic_store(&lab->worker->shared->asked, SNAPSHOT_NONE);
}

static void test_an_answer_that_lies(void **state)
{
	struct snapshot snapshot;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	/* more than there are */
	answer(&lab, lab.program.engine.slots_per_worker + 1);
	snapshot_add_up(&snapshot, &lab.program.engine, SNAPSHOT_SESSIONS);
	assert_true(snapshot.failed);
	assert_int_equal(snapshot.session_count, 0);
	snapshot_free(&snapshot);
	/* one of two is unsound */
	lab.worker->list[0] = sound_session();
	lab.worker->list[0].route = (enum route)12345;
	lab.worker->list[1] = sound_session();
	lab.worker->shared->answer.backends[ROUTE_HTTPS] = (struct backend_state){.failed_at = 1, .error = INT_MIN};
	answer(&lab, 2);
	snapshot_add_up(&snapshot, &lab.program.engine, SNAPSHOT_SESSIONS);
	assert_false(snapshot.failed);
	assert_int_equal(snapshot.session_count, 1);
	assert_int_equal(snapshot.sessions[0].route, ROUTE_HTTPS);
	assert_int_equal(snapshot.backends[ROUTE_HTTPS].error, 0);
	assert_true(lab_has_logged("a worker has sent the description of a session that makes no sense"));
	snapshot_free(&snapshot);
	assert_int_equal(lab.worker->list[1].route, 0); /* its pages were given back */
	lab_close(&lab);
}

static void send_record(struct lab *lab, const void *bytes, size_t length)
{
	assert_int_equal(send(lab->program.engine.trace.to, bytes, length, 0), (ssize_t)length);
}

static void test_records_that_lie(void **state)
{
	struct trace_record record = sound_record(), received;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	send_record(&lab, "", 0);
	send_record(&lab, &record, sizeof(record) - 1);
	record.cause = (enum session_cause)12345;
	send_record(&lab, &record, sizeof(record));
	record.cause = CAUSE_DONE;
	send_record(&lab, &record, sizeof(record));
	assert_true(trace_receive(&lab.program.engine.trace, &received));
	assert_int_equal(received.cause, CAUSE_DONE);
	assert_false(trace_receive(&lab.program.engine.trace, &received));
	assert_true(lab_has_logged("a worker has sent a record of a session that makes no sense"));
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_an_answer_that_lies),
		cmocka_unit_test(test_records_that_lie),
	};

	return lab_run_tests_with(DATAPLANE_USER, tests);
}
