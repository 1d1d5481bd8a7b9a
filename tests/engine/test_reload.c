/* SPDX-License-Identifier: BSD-2-Clause */
/* How the worker adopts a new configuration: new sessions use it, the others keep the one they began with. */
#include "engine/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/configuration.h"

/* The main thread's part of a reload, without the listeners. */
static struct configuration *publish(struct lab *lab, const struct options *options, unsigned int sessions)
{
	struct configuration *configuration = configuration_new(options, sessions, 1);

	assert_non_null(configuration);
	configuration->older = atomic_load(&lab->program.engine.configuration);
	configuration->rules = configuration->older->rules;
	return configuration;
}

static void adopt(struct lab *lab, struct configuration *configuration)
{
	atomic_store(&lab->program.engine.configuration, configuration);
	worker_wake(lab->worker);
	lab_until(lab, atomic_load(&lab->worker->configuration) == configuration);
}

static void test_new_sessions_have_new_options(void **state)
{
	struct configuration *old, *new;
	struct lab_pair pair;
	struct options options;
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--idle-timeout", "1h"));
	old = atomic_load(&lab.program.engine.configuration);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	options = lab.program.options;
	options.idle_timeout_ms = 60000;
	new = publish(&lab, &options, 16);
	adopt(&lab, new);
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
	new->older = configuration_prune(new->older);
	assert_null(new->older);
	lab_close(&lab);
}

static void test_a_backend_moves(void **state)
{
	struct lab_pair pair;
	struct options options;
	struct sentence why;
	uint64_t up = 0;
	struct lab lab;
	char text[32];

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	options = lab.program.options;
	lab_listen(&lab, ROUTE_RULE); /* the web server's new address */
	snprintf(text, sizeof(text), "127.0.0.1:%u", lab.backend_ports[ROUTE_RULE]);
	assert_true(endpoint_parse(&options.backends[ROUTE_HTTPS], text, &why));
	assert_int_not_equal(lab.worker->backends[ROUTE_HTTPS].connected_at, 0);
	adopt(&lab, publish(&lab, &options, 16));
	assert_int_equal(lab.worker->backends[ROUTE_HTTPS].connected_at, 0);
	lab_send(&lab, lab_dial(&lab), "GET / HTTP/1.0\r\n\r\n", 18);
	lab_expect(&lab, lab_accept(&lab, ROUTE_RULE), "GET / HTTP/1.0\r\n\r\n", 18);
	lab_move(&lab, pair.client, pair.backend, 1 << 20, &up);
	lab_close(&lab);
}

static void test_fewer_sessions(void **state)
{
	struct lab_pair pairs[2];
	struct lab lab;
	int third;

	(void)state;
	lab_open(&lab, NULL);
	pairs[0] = lab_pair(&lab, ROUTE_HTTPS);
	pairs[1] = lab_pair(&lab, ROUTE_HTTPS);
	adopt(&lab, publish(&lab, &lab.program.options, 1));
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
	struct configuration *configuration;
	struct options options;
	struct sentence why;
	struct lab lab;
	int waiting, client;
	char text[32];
	unsigned int count;

	(void)state;
	lab_open(&lab, NULL);
	options = lab.program.options;
	snprintf(text, sizeof(text), "127.0.0.2:%u", lab.port);
	assert_true(listen_parse(options.listeners, &count, text, &why));
	configuration = publish(&lab, &options, 16);
	configuration->opened = calloc(1, sizeof(struct listener));
	assert_non_null(configuration->opened);
	configuration->opened_count = 1;
	assert_int_equal(listener_prepare(&configuration->opened[0], &lab.program.engine.steer, &options,
					  &options.listeners[0], &why),
			 0);
	waiting = lab_dial(&lab);
	lab_send(&lab, waiting, "GET", 3);
	adopt(&lab, configuration);
	assert_int_equal(lab.worker->accepting.count, 1);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), "GET", 3);

	client = lab_dial(&lab); /* the address whose listener was closed */
	lab_until(&lab, send(client, "", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED);
	lab_close(&lab);
}

/* Two tables of rules: a hello is matched against the one it began with. */
static void test_rules_change_within_a_hello(void **state)
{
	struct configuration *configuration;
	struct lab_hello hello;
	struct options options;
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

	options = lab.program.options;
	options.routes = (struct routes){0};
	assert_true(routes_add(&options.routes, "sni=elsewhere -> x", 0, &backend, &why));
	configuration = publish(&lab, &options, 16);
	configuration->rules = 2;
	routes_compile(&options.routes, &lab.program.engine.dataplane.rules[1]);
	adopt(&lab, configuration);
	assert_int_equal(atomic_load(&configuration->older->hellos), 1);

	lab_send(&lab, client, hello.bytes + hello.length - 1, 1);
	lab_expect(&lab, lab_accept(&lab, ROUTE_RULE), hello.bytes, hello.length);
	assert_int_equal(atomic_load(&configuration->older->hellos), 0);
	client = lab_dial(&lab);
	lab_send(&lab, client, hello.bytes, hello.length);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), hello.bytes, hello.length);
	lab_close(&lab);
}

static void test_a_reload_while_draining(void **state)
{
	struct configuration *configuration;
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	worker_tell(lab.worker, WORKER_DRAIN);
	lab_settle(&lab);
	configuration = publish(&lab, &lab.program.options, 16);
	adopt(&lab, configuration);
	assert_int_equal(lab.worker->accepting.count, 0);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	lab_until(&lab, lab.over);
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
	};

	return lab_run_tests(tests);
}
