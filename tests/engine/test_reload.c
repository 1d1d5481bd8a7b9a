/* SPDX-License-Identifier: BSD-2-Clause */
/* How the worker adopts a new configuration: new sessions use it, the others keep the one they began with. */
#include "engine/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "engine/configuration.h"
#include "engine/handover.h"
#include "engine/shared.h"

static struct handed handed_of(const struct lab *lab, const struct options *options, unsigned int sessions)
{
	return (struct handed){.options = *options, .max_sessions = sessions, .rules = lab->program.engine.rules};
}

/* The main thread's part of a reload. descriptors: of new listeners, which are closed. Returns what the worker adopts.
 */
static struct configuration *adopt(struct lab *lab, const struct handed *handed, int *descriptors)
{
	struct engine *engine = &lab->program.engine;
	struct sentence why;

	assert_true(handover_is_free(engine));
	if (handover_send(engine, handed, descriptors, &why))
		fail_msg("%s", why.text);
	for (unsigned int i = 0; i < handed->opened_count; i++)
		descriptor_close(&descriptors[i]);
	assert_int_equal(handover_answer(engine), -EINPROGRESS);
	lab_until(lab, handover_answer(engine) != -EINPROGRESS);
	assert_int_equal(handover_answer(engine), 0);
	assert_int_not_equal(lab->worker->configuration->number, engine->handover.number);
	handover_put_in_force(engine);
	lab_until(lab, handover_is_adopted(engine));
	return lab->worker->configuration;
}

static void test_new_sessions_have_new_options(void **state)
{
	struct configuration *old, *new;
	struct lab_pair pair;
	struct handed handed;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--idle-timeout", "1h"));
	old = lab.worker->configuration;
	pair = lab_pair(&lab, ROUTE_HTTPS);
	handed = handed_of(&lab, &lab.program.options, 16);
	handed.options.idle_timeout_ms = 60000;
	new = adopt(&lab, &handed, NULL);
	assert_ptr_equal(new->older, old);
	assert_int_equal(atomic_load(&old->users), 1); /* the session */
	lab_pair(&lab, ROUTE_HTTPS);
	for (int i = 0; i < 8; i++)
		lab_wait(&lab, 15000);
	assert_int_equal(lab_live(&lab), 1);
	assert_ptr_equal(lab_session(&lab)->configuration, old);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(atomic_load(&old->users), 0);
	handover_prune(&lab.program.engine);
	lab_until(&lab, !new->older);
	lab_close(&lab);
}

static void test_a_backend_moves(void **state)
{
	struct lab_pair pair;
	struct handed handed;
	struct sentence why;
	uint64_t up = 0;
	struct lab lab;
	char text[32];

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	handed = handed_of(&lab, &lab.program.options, 16);
	lab_listen(&lab, ROUTE_RULE); /* the web server's new address */
	snprintf(text, sizeof(text), "127.0.0.1:%u", lab.backend_ports[ROUTE_RULE]);
	assert_true(endpoint_parse(&handed.options.backends[ROUTE_HTTPS], text, &why));
	assert_int_not_equal(lab.worker->backends[ROUTE_HTTPS].connected_at, 0);
	adopt(&lab, &handed, NULL);
	assert_int_equal(lab.worker->backends[ROUTE_HTTPS].connected_at, 0);
	lab_send(&lab, lab_dial(&lab), "GET / HTTP/1.0\r\n\r\n", 18);
	lab_expect(&lab, lab_accept(&lab, ROUTE_RULE), "GET / HTTP/1.0\r\n\r\n", 18);
	lab_move(&lab, pair.client, pair.backend, 1 << 20, &up);
	lab_close(&lab);
}

static void test_fewer_sessions(void **state)
{
	struct lab_pair pairs[2];
	struct handed handed;
	struct lab lab;
	int third;

	(void)state;
	lab_open(&lab, NULL);
	pairs[0] = lab_pair(&lab, ROUTE_HTTPS);
	pairs[1] = lab_pair(&lab, ROUTE_HTTPS);
	handed = handed_of(&lab, &lab.program.options, 1);
	adopt(&lab, &handed, NULL);
	third = lab_dial(&lab);
	lab_send(&lab, third, "GET", 3);
	lab_hang_up(&lab, pairs[0].client);
	lab_hang_up(&lab, pairs[0].backend);
	lab_until(&lab, lab_live(&lab) == 1);
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	lab_hang_up(&lab, pairs[1].client);
	lab_hang_up(&lab, pairs[1].backend);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), "GET", 3);
	lab_close(&lab);
}

/* A listener is added, then replaced by another. Clients in the queue of one that closes are served. */
static void test_listeners_come_and_go(void **state)
{
	struct handed handed;
	struct listener opened;
	struct sentence why;
	struct lab lab;
	int waiting, client;
	char text[32];
	unsigned int count;

	(void)state;
	lab_open(&lab, NULL);
	handed = handed_of(&lab, &lab.program.options, 16);
	snprintf(text, sizeof(text), "127.0.0.2:%u", lab.port);
	assert_true(listen_parse(handed.options.listeners, &count, text, &why));
	handed.opened_count = 1;
	assert_int_equal(listener_prepare(&opened, &lab.program.engine.steer, &handed.options,
					  &handed.options.listeners[0], &why),
			 0);
	waiting = lab_dial(&lab);
	lab_send(&lab, waiting, "GET", 3);
	adopt(&lab, &handed, &opened.fd);
	assert_int_equal(lab.worker->accepting.count, 1);
	assert_true(address_equal(&lab.worker->accepting.listeners[0].address, &handed.options.listeners[0]));
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), "GET", 3);

	client = lab_dial(&lab); /* the address whose listener was closed */
	lab_until(&lab, send(client, "", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED);
	lab_close(&lab);
}

/* Two tables of rules: a hello is matched against the one it began with. */
static void test_rules_change_within_a_hello(void **state)
{
	struct lab_hello hello;
	struct handed handed;
	struct sentence why;
	const char *backend;
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, LAB("--route", "sni=route-1 -> LAB"));
	hello = lab_hello_for(ROUTE_RULE);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length - 1);
	lab_until(&lab, lab_live(&lab) == 1);

	handed = handed_of(&lab, &lab.program.options, 16);
	handed.options.routes = (struct routes){0};
	assert_true(routes_add(&handed.options.routes, "sni=elsewhere -> x", 0, &backend, &why));
	handed.rules = 2;
	routes_compile(&handed.options.routes, &lab.program.engine.dataplane.rules[1]);
	adopt(&lab, &handed, NULL);
	assert_int_equal(atomic_load(&lab.worker->shared->hellos[0]), 1);

	lab_send(&lab, client, hello.bytes + hello.length - 1, 1);
	lab_expect(&lab, lab_accept(&lab, ROUTE_RULE), hello.bytes, hello.length);
	assert_int_equal(atomic_load(&lab.worker->shared->hellos[0]), 0);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	lab_close(&lab);
}

static void test_a_reload_while_draining(void **state)
{
	struct lab_pair pair;
	struct handed handed;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	worker_tell(lab.worker, WORKER_DRAIN);
	lab_settle(&lab);
	handed = handed_of(&lab, &lab.program.options, 16);
	adopt(&lab, &handed, NULL);
	assert_int_equal(lab.worker->accepting.count, 0);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, lab.over);
	lab_close(&lab);
}

/* More listeners than one message carries, and a reload that fails after the worker has taken them. */
static void test_many_listeners(void **state)
{
	enum { LISTENERS = 64, WORKERS = 5 };
	struct engine *engine;
	int descriptors[LISTENERS * WORKERS];
	struct configuration *before;
	struct handed handed;
	struct sentence why;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	engine = &lab.program.engine;
	before = lab.worker->configuration;
	handed = handed_of(&lab, &lab.program.options, 16);
	handed.opened_count = LISTENERS;
	for (int i = 0; i < LISTENERS * WORKERS; i++)
		descriptors[i] = lab_bound_socket(0);
	engine->worker_count = WORKERS;
	if (handover_send(engine, &handed, descriptors, &why))
		fail_msg("%s", why.text);
	for (int i = 0; i < LISTENERS * WORKERS; i++)
		close(descriptors[i]);
	lab_until(&lab, handover_answer(engine) != -EINPROGRESS);
	engine->worker_count = 1;
	assert_int_equal(handover_answer(engine), 0);
	for (int i = 0; i < LISTENERS * WORKERS; i++)
		assert_true(fcntl(engine->handover.taken->opened[i].fd, F_GETFD) == FD_CLOEXEC);
	lab_settle(&lab);
	assert_ptr_equal(lab.worker->configuration, before);

	handed.opened_count = 0;
	adopt(&lab, &handed, NULL);
	assert_int_equal(lab.worker->configuration->number, 2);
	lab_close(&lab); /* no descriptor is left */
}

/* The worker cannot take the descriptors: it says so, and keeps none. */
static void test_no_room_for_descriptors(void **state)
{
	struct rlimit before, limit;
	struct handed handed;
	struct sentence why;
	int descriptors[4];
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	handed = handed_of(&lab, &lab.program.options, 16);
	handed.opened_count = 4;
	for (int i = 0; i < 4; i++)
		descriptors[i] = lab_bound_socket(0);
	if (handover_send(&lab.program.engine, &handed, descriptors, &why))
		fail_msg("%s", why.text);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){.rlim_cur = (rlim_t)descriptors[3], .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	lab_until(&lab, handover_answer(&lab.program.engine) != -EINPROGRESS);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(handover_answer(&lab.program.engine), -EMFILE);
	for (int i = 0; i < 4; i++)
		close(descriptors[i]);
	handed.opened_count = 0;
	adopt(&lab, &handed, NULL);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_sessions_have_new_options),
		cmocka_unit_test(test_a_backend_moves),
		cmocka_unit_test(test_fewer_sessions),
		cmocka_unit_test(test_listeners_come_and_go),
		cmocka_unit_test(test_rules_change_within_a_hello),
		cmocka_unit_test(test_a_reload_while_draining),
		cmocka_unit_test(test_many_listeners),
		cmocka_unit_test(test_no_room_for_descriptors),
	};

	return lab_run_tests(tests);
}
