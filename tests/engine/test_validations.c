/* SPDX-License-Identifier: BSD-2-Clause */
/* Validations: what becomes of one, and the queue in front of the ACME responder. */
#include "engine/lab.h"

#include <sys/socket.h>

#include "engine/responder.h"

static void answer(struct lab *lab, struct lab_pair pair)
{
	lab_send(lab, pair.backend, "certificate", 11);
	lab_expect(lab, pair.client, "certificate", 11);
}

/* A validation that has its answer. */
static struct lab_pair answered(struct lab *lab)
{
	struct lab_pair pair = lab_pair(lab, ROUTE_ACME);

	answer(lab, pair);
	return pair;
}

/* A validation whose client has said something after its answer. */
static struct lab_pair replied(struct lab *lab)
{
	struct lab_pair pair = answered(lab);

	lab_send(lab, pair.client, "finished", 8);
	lab_expect(lab, pair.backend, "finished", 8);
	return pair;
}

/* --- what becomes of one --- */

static void test_what_becomes_of_a_validation(void **state)
{
	const uint64_t *validations;
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	validations = lab.worker->counters.validations;

	pair = replied(&lab);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, validations[VALIDATION_SEEN_THROUGH] == 1);

	/* as `openssl s_server` ends, and as validators do that have not read everything */
	pair = replied(&lab);
	lab_reset(&lab, pair.backend);
	lab_until(&lab, validations[VALIDATION_SEEN_THROUGH] == 2);

	pair = replied(&lab);
	lab_reset(&lab, pair.client);
	lab_until(&lab, validations[VALIDATION_SEEN_THROUGH] == 3);

	/* the CA's time is over before the answer */
	pair = lab_pair(&lab, ROUTE_ACME);
	lab_hang_up(&lab, pair.client);
	lab_expect_end(&lab, pair.backend);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, validations[VALIDATION_GAVE_UP] == 1);

	pair = answered(&lab);
	lab_reset(&lab, pair.client);
	lab_until(&lab, validations[VALIDATION_CLIENT_CLOSED] == 1);

	pair = lab_pair(&lab, ROUTE_ACME);
	lab_reset(&lab, pair.client);
	lab_until(&lab, validations[VALIDATION_CLIENT_RESET] == 1);

	pair = lab_pair(&lab, ROUTE_ACME);
	lab_reset(&lab, pair.backend);
	lab_until(&lab, validations[VALIDATION_RESPONDER_RESET] == 1);

	pair = lab_pair(&lab, ROUTE_ACME);
	lab_hang_up(&lab, pair.backend);
	lab_expect_end(&lab, pair.client);
	lab_hang_up(&lab, pair.client);
	lab_until(&lab, validations[VALIDATION_NO_ANSWER] == 1);

	pair = lab_pair(&lab, ROUTE_ACME);
	lab_wait(&lab, 14900);
	lab_expect_nothing(&lab, pair.client);
	lab_wait(&lab, 200);
	lab_expect_reset(&lab, pair.client);
	lab_expect_reset(&lab, pair.backend);
	assert_int_equal(validations[VALIDATION_TIMED_OUT], 1);
	assert_int_equal(lab_ended(&lab, CAUSE_ACME_TIMEOUT), 1);

	/* --acme-timeout counts from the answer */
	pair = lab_pair(&lab, ROUTE_ACME);
	lab_wait(&lab, 8000);
	answer(&lab, pair);
	lab_wait(&lab, 9900);
	lab_expect_nothing(&lab, pair.client);
	lab_wait(&lab, 200);
	lab_expect_reset(&lab, pair.client);
	assert_int_equal(validations[VALIDATION_TIMED_OUT], 2);

	lab_pair(&lab, ROUTE_ACME);
	worker_tell(lab.worker, WORKER_STOP);
	lab_until(&lab, validations[VALIDATION_FAILED] == 1);
	lab_close(&lab);
}

/* --- the queue --- */

static unsigned int waiting(const struct lab *lab)
{
	return responder_waiting(lab->program.engine.responder);
}

/* Two that the responder has not answered, so that it gets no third one. */
static void occupy(struct lab *lab, struct lab_pair pairs[2])
{
	lab_open(lab, NULL);
	pairs[0] = lab_pair(lab, ROUTE_ACME);
	pairs[1] = lab_pair(lab, ROUTE_ACME);
}

static int wait_in_line(struct lab *lab)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	int client = lab_dial(lab);

	lab_send(lab, client, hello.bytes, hello.length);
	lab_until(lab, waiting(lab) == 1);
	return client;
}

static void expect_turn(struct lab *lab)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	int backend = lab_accept(lab, ROUTE_ACME);

	lab_expect(lab, backend, hello.bytes, hello.length);
	assert_int_equal(waiting(lab), 0);
}

static void test_a_third_one_waits_for_its_turn(void **state)
{
	struct lab_pair pairs[2];
	struct lab lab;

	(void)state;
	occupy(&lab, pairs);
	wait_in_line(&lab);
	lab_expect_no_connection(&lab, ROUTE_ACME);
	lab_reset(&lab, pairs[0].client);
	expect_turn(&lab);
	lab_close(&lab);
}

/* Its client keeps the session, but not the responder. */
static void test_a_responder_that_has_closed_is_free(void **state)
{
	struct lab_pair pairs[2];
	struct lab lab;

	(void)state;
	occupy(&lab, pairs);
	wait_in_line(&lab);
	answer(&lab, pairs[0]);
	lab_hang_up(&lab, pairs[0].backend);
	expect_turn(&lab);
	assert_int_equal(lab_live(&lab), 3);
	lab_wait(&lab, 10100);
	lab_expect_end(&lab, pairs[0].client);
	assert_int_equal(lab.worker->counters.validations[VALIDATION_TIMED_OUT], 1);
	lab_close(&lab);
}

static void test_one_that_ends_its_side_with_its_hello_keeps_its_place(void **state)
{
	struct lab_pair pairs[2];
	struct lab lab;
	int client;

	(void)state;
	occupy(&lab, pairs);
	client = wait_in_line(&lab);
	shutdown(client, SHUT_WR);
	lab_settle(&lab);
	lab_wait(&lab, 3000);
	assert_int_equal(waiting(&lab), 1);
	lab_reset(&lab, pairs[0].client);
	expect_turn(&lab);
	lab_close(&lab);
}

static void test_one_that_gives_up_leaves_its_place(void **state)
{
	struct lab_pair pairs[2];
	struct lab lab;
	int client;

	(void)state;
	occupy(&lab, pairs);
	client = wait_in_line(&lab);
	lab_wait(&lab, 3000);
	lab_hang_up(&lab, client);
	lab_until(&lab, waiting(&lab) == 0);
	lab_reset(&lab, pairs[0].client);
	lab_expect_no_connection(&lab, ROUTE_ACME);
	assert_int_equal(lab.worker->counters.validations[VALIDATION_GAVE_UP], 1);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_becomes_of_a_validation),
		cmocka_unit_test(test_a_third_one_waits_for_its_turn),
		cmocka_unit_test(test_a_responder_that_has_closed_is_free),
		cmocka_unit_test(test_one_that_ends_its_side_with_its_hello_keeps_its_place),
		cmocka_unit_test(test_one_that_gives_up_leaves_its_place),
	};

	return lab_run_tests(tests);
}
