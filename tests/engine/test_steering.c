/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering without a worker: loads the programs, and checks with sockets what the kernel does. Which listener a
 * connection reaches, armed and disarmed; what a reload changes; which connections are our own. Needs BPF.
 */
#include "engine/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "base/descriptor.h"
#include "options/options.h"
#include "steering/endpoint.h"
#include "steering/mode.h"
#include "steering/reload.h"
#include "steering/steer.h"

static struct lab lab;
static struct steer steer;
static struct options options;
static int private_listener; /* the listener of the only worker */

/* The options for the lab's backends, and more words, NULL-terminated. */
static struct options parse(unsigned int acme, unsigned int https, const char *const *words)
{
	char acme_text[32], https_text[32];
	char *argv[16] = {"attach", "--acme", acme_text, "--https", https_text};
	struct options parsed;
	struct sentence why;
	int argc = 5;

	snprintf(acme_text, sizeof(acme_text), "127.0.0.1:%u", acme);
	snprintf(https_text, sizeof(https_text), "127.0.0.1:%u", https);
	for (; words && *words; words++)
		argv[argc++] = (char *)*words;
	argv[argc] = NULL;
	if (options_parse(&parsed, argc, argv, &why) != OPTIONS_OK)
		fail_msg("%s", why.text);
	return parsed;
}

static int listen_on(unsigned int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
	int fd = lab_keep(&lab, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP)), on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* In place: the served port is the one of the lab's web server. */
static void open_in_place(const char *const *words)
{
	const char *all[8] = {"--listen", NULL, "--inspect", "steer"};
	struct sentence why;
	char listen_text[32];
	int count = 4;

	lab_open_bare(&lab);
	lab.port = lab.backend_ports[ROUTE_HTTPS];
	snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%u", lab.port);
	all[1] = listen_text;
	for (; words && *words; words++)
		all[count++] = *words;
	options = parse(lab.backend_ports[ROUTE_ACME], lab.backend_ports[ROUTE_HTTPS], all);
	if (steer_open(&steer, &options, 1, 16, &why))
		fail_msg("%s", why.text);
	private_listener = listen_on(0);
	assert_int_equal(steer_set_private(&steer, 0, STEER_V4, private_listener), 0);
	if (steer_start(&steer, &why))
		fail_msg("%s", why.text);
}

static void open_bypass(const char *const *words)
{
	struct sentence why;

	lab_open_bare(&lab);
	options = parse(lab.backend_ports[ROUTE_ACME], lab.backend_ports[ROUTE_HTTPS], words);
	if (steer_open(&steer, &options, 1, 16, &why) || steer_start(&steer, &why))
		fail_msg("%s", why.text);
}

static void close_lab(void)
{
	steer_close(&steer);
	lab_close(&lab);
}

/* The next connection reaches that listener. */
static void expect_at(int listener)
{
	int client = lab_dial(&lab), fd;

	lab_until(&lab, (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	lab_hang_up(&lab, lab_keep(&lab, fd));
	lab_hang_up(&lab, client);
}

/* --- arming --- */

static void test_armed_while_it_listens(void **state)
{
	(void)state;
	open_in_place(NULL);
	/* it listened before the programs were attached */
	assert_true(arming_is_armed(&steer.arming));
	assert_true(arming_look(&steer.arming) != UINT64_MAX);
	assert_true(lab_has_logged("armed: the ACME client listens on 127.0.0.1:"));
	assert_non_null(strstr(arming_reason(&steer.arming), "test_steering"));
	expect_at(private_listener);

	lab_unlisten(&lab, ROUTE_ACME);
	assert_false(arming_is_armed(&steer.arming));
	expect_at(lab.backends[ROUTE_HTTPS]); /* even before user space has noticed */
	arming_look(&steer.arming);
	assert_true(lab_has_logged("disarmed: "));
	assert_null(arming_reason(&steer.arming));

	lab_listen(&lab, ROUTE_ACME);
	expect_at(private_listener);
	assert_true(arming_look(&steer.arming) != UINT64_MAX);
	assert_true(arming_is_armed(&steer.arming));
	steer_stop(&steer);
	expect_at(lab.backends[ROUTE_HTTPS]);
	close_lab();
}

static void test_always(void **state)
{
	(void)state;
	open_in_place(LAB("--arm", "always"));
	lab_unlisten(&lab, ROUTE_ACME);
	assert_true(arming_is_armed(&steer.arming));
	assert_string_equal(arming_reason(&steer.arming), "--arm always");
	assert_int_equal(arming_fd(&steer.arming), NO_DESCRIPTOR);
	expect_at(private_listener);
	arming_look(&steer.arming);
	close_lab();
}

/* Connections that were steered and are not accepted yet. */
static void test_pending(void **state)
{
	(void)state;
	open_in_place(NULL);
	assert_int_equal(steer_pending(&steer), 0);
	lab_dial(&lab);
	lab_until(&lab, steer_pending(&steer) == 1);
	lab_keep(&lab, accept(private_listener, NULL, NULL));
	assert_int_equal(steer_pending(&steer), 0);
	close_lab();
}

/* --- our own connections --- */

/* Our own connection reaches the web server, though armed; a later one that fails leaves no entry. */
static void test_own_connections(void **state)
{
	struct address client, to = {0};
	struct own_connection own = {0};
	struct sentence why;
	struct endpoint at;
	int fd, server;
	char text[32];

	(void)state;
	open_in_place(NULL);
	snprintf(text, sizeof(text), "127.0.0.1:%u", lab.port);
	assert_true(endpoint_parse(&at, text, &why));
	to = at.addresses[0];
	assert_true(endpoint_parse(&at, "192.0.2.7:4711", &why));
	client = at.addresses[0];
	assert_true(steer.own.are_tracked);

	fd = lab_keep(&lab, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
	assert_int_equal(own_connection_begin(&steer.own, fd, &client, &to, &own), 0);
	if (connect(fd, &to.sa, to.len))
		assert_int_equal(errno, EINPROGRESS);
	assert_int_equal(own_connection_end(&steer.own, &own), 0);
	assert_int_not_equal(own.cookie, 0);
	lab_until(&lab, (server = accept(lab.backends[ROUTE_HTTPS], NULL, NULL)) >= 0);
	lab_keep(&lab, server);
	if (steer.plan.peername) { /* the server sees the client's address */
		struct sockaddr_in peer = {0};
		socklen_t length = sizeof(peer);

		assert_int_equal(getpeername(server, (struct sockaddr *)&peer, &length), 0);
		assert_int_equal(ntohl(peer.sin_addr.s_addr), 0xc0000207);
		assert_int_equal(ntohs(peer.sin_port), 4711);
	}
	own_connection_forget(&steer.own, 0, &own);
	assert_int_equal(own.cookie, 0);

	/* a connection that fails */
	lab_unlisten(&lab, ROUTE_HTTPS);
	fd = lab_keep(&lab, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
	assert_int_equal(own_connection_begin(&steer.own, fd, &client, &to, &own), 0);
	assert_int_not_equal(connect(fd, &to.sa, to.len), 0);
	own_connection_end(&steer.own, &own);
	own_connection_forget(&steer.own, 0, &own);
	close_lab();
}

/* --- reloads --- */

static bool is_in_map(int map, const struct address *address)
{
	struct steer_endpoint at = steer_endpoint_from(address);
	uint32_t rule;

	return bpf_map_lookup_elem(map, &at, &rule) == 0;
}

static void change(const struct options *new)
{
	struct sentence why;

	if (!steer_can_change(&steer, &options, new, &why))
		fail_msg("%s", why.text);
	assert_int_equal(steer_change(&steer, &options, new), 0);
	options = *new;
}

static void test_another_acme_port(void **state)
{
	const char *const words[] = {"--listen", "127.0.0.1:50443", NULL};
	struct options new;

	(void)state;
	open_bypass(words);
	assert_true(arming_is_armed(&steer.arming));
	arming_look(&steer.arming);
	lab_listen(&lab, ROUTE_RULE); /* the responder's new port */
	new = parse(lab.backend_ports[ROUTE_RULE], lab.backend_ports[ROUTE_HTTPS], words);
	change(&new);
	arming_look(&steer.arming);
	assert_true(arming_is_armed(&steer.arming));
	/* the old port no longer counts */
	lab_unlisten(&lab, ROUTE_RULE);
	assert_false(arming_is_armed(&steer.arming));
	lab_unlisten(&lab, ROUTE_ACME);
	lab_listen(&lab, ROUTE_ACME);
	assert_false(arming_is_armed(&steer.arming));
	close_lab();
}

static void test_another_web_server(void **state)
{
	const char *const words[] = {"--listen", "127.0.0.1:50443", NULL};
	struct options new;

	(void)state;
	open_bypass(words);
	lab_unlisten(&lab, ROUTE_ACME);
	lab.port = 50443;
	expect_at(lab.backends[ROUTE_HTTPS]);
	lab_listen(&lab, ROUTE_RULE);
	new = parse(lab.backend_ports[ROUTE_ACME], lab.backend_ports[ROUTE_RULE], words);
	change(&new);
	assert_int_equal(steer.maps.state->https_port, lab.backend_ports[ROUTE_RULE]);
	assert_int_equal(steer.maps.state->https_port_before, lab.backend_ports[ROUTE_HTTPS]);
	expect_at(lab.backends[ROUTE_RULE]);
	close_lab();
}

static void test_addresses_come_and_go(void **state)
{
	const char *const one[] = {"--listen", "127.0.0.1:50443", NULL};
	const char *const other[] = {"--listen", "127.0.0.2:50443", NULL};
	struct options old, new;

	(void)state;
	open_bypass(one);
	old = options;
	assert_true(is_in_map(steer.maps.addresses, &old.listeners[0]));
	new = parse(lab.backend_ports[ROUTE_ACME], lab.backend_ports[ROUTE_HTTPS], other);
	change(&new);
	assert_false(is_in_map(steer.maps.addresses, &old.listeners[0]));
	assert_true(is_in_map(steer.maps.addresses, &new.listeners[0]));
	close_lab();
}

/* --- without programs --- */

static void test_nothing_to_steer(void **state)
{
	struct sentence why = {0};
	char mode[STEER_MODE_MAX];

	(void)state;
	lab_open_bare(&lab);
	options = parse(lab.backend_ports[ROUTE_ACME], lab.backend_ports[ROUTE_HTTPS],
			LAB("--listen", "127.0.0.1:50443", "--no-bypass"));
	assert_int_equal(steer_open(&steer, &options, 1, 16, &why), 0);
	assert_int_equal(steer_start(&steer, &why), 0);
	assert_null(steer.maps.state);
	assert_true(arming_is_armed(&steer.arming));
	assert_string_equal(arming_reason(&steer.arming), "every connection goes through alpnbpf");
	assert_int_equal(arming_look(&steer.arming), UINT64_MAX);
	assert_int_equal(steer_pending(&steer), 0);
	assert_string_equal(steer_mode(&steer, mode, sizeof(mode)), "front");
	assert_int_equal(steer_change(&steer, &options, &options), 0);
	close_lab();

	options = parse(1, 2, LAB("--listen", "127.0.0.1:50443", "--no-bypass", "--inspect", "watch"));
	assert_int_equal(steer_open(&steer, &options, 1, 16, &why), -EINVAL);
	assert_non_null(strstr(why.text, "--inspect watch: "));
	steer_close(&steer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_armed_while_it_listens),
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_pending),
		cmocka_unit_test(test_own_connections),
		cmocka_unit_test(test_another_acme_port),
		cmocka_unit_test(test_another_web_server),
		cmocka_unit_test(test_addresses_come_and_go),
		cmocka_unit_test(test_nothing_to_steer),
	};

	return lab_run_tests_with(DATAPLANE_SOCKMAP, tests);
}
