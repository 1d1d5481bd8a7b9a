/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections to backends: refused, retried, given up; several addresses; a dead ACME responder; PROXY headers. */
#include "engine/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A client that has sent its hello. */
static int begin(struct lab *lab, enum route route)
{
	struct lab_hello hello = lab_hello_for(route);
	uint64_t before = lab->worker->counters.sessions;
	int client = lab_dial(lab);

	lab_send(lab, client, hello.bytes, hello.length);
	lab_until(lab, lab->worker->counters.sessions > before);
	return client;
}

static void expect_hello(struct lab *lab, int backend, enum route route)
{
	struct lab_hello hello = lab_hello_for(route);

	lab_expect(lab, backend, hello.bytes, hello.length);
}

/* --- refused --- */

static void test_a_web_server_that_restarts_is_waited_for(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--connect-timeout", "5s"));
	lab_unlisten(&lab, ROUTE_HTTPS);
	begin(&lab, ROUTE_HTTPS);
	for (int i = 0; i < 5; i++)
		lab_wait(&lab, 500);
	assert_true(lab.worker->counters.connect_retries >= 5);
	lab_listen(&lab, ROUTE_HTTPS);
	lab_wait(&lab, 500);
	expect_hello(&lab, lab_accept(&lab, ROUTE_HTTPS), ROUTE_HTTPS);
	assert_int_equal(lab.worker->counters.connect_failed[ROUTE_HTTPS], 0);
	lab_close(&lab);
}

static void test_a_web_server_that_is_gone_is_given_up(void **state)
{
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, LAB("--connect-timeout", "5s"));
	lab_unlisten(&lab, ROUTE_HTTPS);
	client = begin(&lab, ROUTE_HTTPS);
	lab_wait(&lab, 4900);
	assert_int_equal(lab_live(&lab), 1);
	lab_expect_nothing(&lab, client);
	lab_wait(&lab, 600);
	lab_expect_reset(&lab, client);
	assert_int_equal(lab_ended(&lab, CAUSE_CONNECT_FAILED), 1);
	assert_int_equal(lab.worker->counters.connect_failed[ROUTE_HTTPS], 1);
	assert_int_equal(lab.worker->backends[ROUTE_HTTPS].error, -ECONNREFUSED);
	lab_close(&lab);
}

/* A validation then goes to the web server: it may hold the certificate, of another ACME client. */
static void test_a_dead_responder_leaves_the_web_server(void **state)
{
	struct lab lab;
	int client, backend;

	(void)state;
	lab_open(&lab, NULL);
	lab_unlisten(&lab, ROUTE_ACME);
	client = begin(&lab, ROUTE_ACME);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	expect_hello(&lab, backend, ROUTE_ACME);
	assert_int_equal(lab.worker->counters.acme_fallbacks, 1);
	assert_int_equal(lab.worker->counters.connect_failed[ROUTE_ACME], 1);
	lab_send(&lab, backend, "certificate", 11);
	lab_expect(&lab, client, "certificate", 11);
	lab_hang_up(&lab, client);
	lab_hang_up(&lab, backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab.worker->counters.validations[VALIDATION_FALLBACK], 1);

	/* It has as long there as with the responder, whatever it sends. */
	client = begin(&lab, ROUTE_ACME);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	expect_hello(&lab, backend, ROUTE_ACME);
	for (int i = 0; i < 9; i++) {
		lab_wait(&lab, 1000);
		lab_send(&lab, client, "x", 1);
		lab_expect(&lab, backend, "x", 1);
	}
	lab_wait(&lab, 1000);
	lab_expect_reset(&lab, client);
	lab_expect_reset(&lab, backend);
	assert_int_equal(lab_ended(&lab, CAUSE_ACME_TIMEOUT), 1);
	lab_close(&lab);
}

static void test_a_dead_responder_and_nobody_else(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--acme-fallback", "close"));
	lab_unlisten(&lab, ROUTE_ACME);
	lab_expect_reset(&lab, begin(&lab, ROUTE_ACME));
	lab_expect_no_connection(&lab, ROUTE_HTTPS);
	assert_int_equal(lab_ended(&lab, CAUSE_CONNECT_FAILED), 1);
	assert_int_equal(lab.worker->counters.validations[VALIDATION_REFUSED], 1);
	lab_close(&lab);
}

static void test_neither_responder_nor_web_server(void **state)
{
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, LAB("--connect-timeout", "5s"));
	lab_unlisten(&lab, ROUTE_ACME);
	lab_unlisten(&lab, ROUTE_HTTPS);
	client = begin(&lab, ROUTE_ACME);
	lab_wait(&lab, 5100);
	lab_expect_reset(&lab, client);
	assert_int_equal(lab.worker->counters.acme_fallbacks, 1);
	assert_int_equal(lab_ended(&lab, CAUSE_CONNECT_FAILED), 1);
	lab_close(&lab);
}

static void test_a_backend_that_resets_at_once(void **state)
{
	struct lab lab;
	int client;

	(void)state;
	lab_open(&lab, NULL);
	client = begin(&lab, ROUTE_HTTPS);
	lab_reset(&lab, lab_accept(&lab, ROUTE_HTTPS));
	lab_expect_reset(&lab, client);
	assert_int_equal(lab_ended(&lab, CAUSE_BACKEND_RESET), 1);
	lab_close(&lab);
}

/* The client closes while alpnbpf still connects to the backend. */
static void test_a_client_that_leaves_meanwhile(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_unlisten(&lab, ROUTE_HTTPS);
	lab_reset(&lab, begin(&lab, ROUTE_HTTPS));
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_CLIENT_RESET), 1);
	lab_close(&lab);
}

/* --- addresses --- */

/* Listens on ::1, on a port that is free on 127.0.0.1. */
static int listen_v6(unsigned int *port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		skip(); /* no IPv6 here */
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(address.sin6_port);
	return fd;
}

/* The address that answered last is tried first the next time. */
static void test_the_next_address_is_tried(void **state)
{
	struct lab lab;
	char rule[64];
	unsigned int port;
	int listener = listen_v6(&port);

	(void)state;
	snprintf(rule, sizeof(rule), "sni=route-1 -> %u", port);
	lab_open(&lab, LAB("--route", rule));
	for (int i = 0; i < 2; i++) {
		int client = begin(&lab, ROUTE_RULE), backend;

		lab_until(&lab, (backend = accept(listener, NULL, NULL)) >= 0);
		expect_hello(&lab, backend, ROUTE_RULE);
		assert_int_equal(lab.worker->first_address[ROUTE_RULE], 1);
		close(backend);
		lab_hang_up(&lab, client);
		lab_until(&lab, lab_live(&lab) == 0);
	}
	assert_int_equal(lab.worker->counters.connect_retries, 0);
	lab_close(&lab);
	close(listener);
}

/*
 * A backend does not answer because its queue is full: 127.0.0.1 gets half of the time, ::1 the rest. Then the queue
 * has room again.
 */
static void test_an_address_that_does_not_answer(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[2], listener, backend;
	struct lab lab;
	char rule[64];
	unsigned int port;

	(void)state;
	listener = listen_v6(&port);
	address.sin_port = htons((uint16_t)port);
	assert_int_equal(bind(full, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(full, 0), 0);
	for (int i = 0; i < 2; i++) {
		waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(waiting[i], (const struct sockaddr *)&address, sizeof(address)))
			assert_int_equal(errno, EINPROGRESS);
	}
	snprintf(rule, sizeof(rule), "sni=route-1 -> %u", port);
	lab_open(&lab, LAB("--route", rule, "--connect-timeout", "5s"));
	begin(&lab, ROUTE_RULE);
	lab_wait(&lab, 2400);
	assert_int_equal(accept(listener, NULL, NULL), -1);
	lab_wait(&lab, 200);
	lab_until(&lab, (backend = accept(listener, NULL, NULL)) >= 0);
	expect_hello(&lab, backend, ROUTE_RULE);
	close(backend);
	lab_close(&lab);
	close(listener);
	close(full);
	close(waiting[0]);
	close(waiting[1]);
}

static void test_a_unix_socket(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), client, backend;
	uint64_t up = 0, down = 0;
	struct lab lab;
	char rule[160];

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/alpnbpf-lab-%d.sock", (int)getpid());
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 8), 0);
	snprintf(rule, sizeof(rule), "sni=route-1 -> unix:%s", address.sun_path);
	lab_open(&lab, LAB("--route", rule));
	client = begin(&lab, ROUTE_RULE);
	lab_until(&lab, (backend = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	expect_hello(&lab, backend, ROUTE_RULE);
	lab_move(&lab, client, backend, 1 << 20, &up);
	lab_move(&lab, backend, client, 1 << 20, &down);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	lab_expect_end(&lab, backend);
	close(backend);
	lab_expect_end(&lab, client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab_ended(&lab, CAUSE_DONE), 1);
	lab_close(&lab);
	close(listener);
	unlink(address.sun_path);
}

/* --- what is logged of it --- */

static void test_nobody_listens(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_unlisten(&lab, ROUTE_ACME);
	begin(&lab, ROUTE_ACME);
	lab_accept(&lab, ROUTE_HTTPS);
	assert_true(lab_has_logged("cannot connect to --acme 127.0.0.1:"));
	assert_true(lab_has_logged("acme.sh --tlsport"));
	lab_close(&lab);
}

/* A common mistake: the responder listens at another address. */
static void test_somebody_listens_elsewhere(void **state)
{
	static const struct {
		int family;
		const char *logged;
	} cases[] = {{AF_INET, "is bound to 127.0.0.2:"}, {AF_INET6, "is bound to [::]:"}};
	struct lab lab;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
		int listener, on = 1;

		lab_open(&lab, NULL);
		lab_unlisten(&lab, ROUTE_ACME);
		listener = socket(cases[i].family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (listener < 0) { /* no IPv6 here */
			lab_close(&lab);
			continue;
		}
		v4.sin_port = v6.sin6_port = htons((uint16_t)lab.backend_ports[ROUTE_ACME]);
		if (cases[i].family == AF_INET6)
			assert_int_equal(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
		assert_int_equal(cases[i].family == AF_INET ? bind(listener, (const struct sockaddr *)&v4, sizeof(v4))
							    : bind(listener, (const struct sockaddr *)&v6, sizeof(v6)),
				 0);
		assert_int_equal(listen(lab_keep(&lab, listener), 1), 0);
		begin(&lab, ROUTE_ACME);
		lab_accept(&lab, ROUTE_HTTPS);
		assert_true(lab_has_logged(cases[i].logged));
		lab_close(&lab);
	}
}

/* A server that answers a complete hello with no byte probably expects a PROXY header, or none. */
static void test_a_server_that_does_not_answer(void **state)
{
	struct lab_pair pair;
	char header[28];
	struct lab lab;
	int client, backend;

	(void)state;
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_reset(&lab, pair.backend);
	lab_expect_reset(&lab, pair.client);
	assert_true(lab_has_logged("use --proxy-protocol"));
	lab_close(&lab);

	lab_open(&lab, LAB("--proxy-protocol", "https=v2"));
	client = begin(&lab, ROUTE_HTTPS);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	lab_until(&lab, recv(backend, header, sizeof(header), 0) == sizeof(header));
	expect_hello(&lab, backend, ROUTE_HTTPS);
	lab_hang_up(&lab, backend);
	lab_expect_end(&lab, client);
	lab_hang_up(&lab, client);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_true(lab_has_logged("right after a PROXY header"));
	lab_close(&lab);

	/* no hint if the server has answered */
	lab_open(&lab, NULL);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	lab_send(&lab, pair.backend, "x", 1);
	lab_expect(&lab, pair.client, "x", 1);
	lab_reset(&lab, pair.backend);
	lab_expect_reset(&lab, pair.client);
	assert_false(lab_has_logged("without sending a byte"));
	lab_close(&lab);
}

/* --- PROXY headers --- */

static unsigned int port_of(int fd)
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

static void test_a_header_comes_before_the_hello(void **state)
{
	char header[108];
	struct lab lab;
	int client, backend;

	(void)state;
	lab_open(&lab, LAB("--proxy-protocol", "https=v1"));
	client = begin(&lab, ROUTE_HTTPS);
	snprintf(header, sizeof(header), "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\n", port_of(client), lab.port);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	lab_expect(&lab, backend, header, strlen(header));
	expect_hello(&lab, backend, ROUTE_HTTPS);
	lab_close(&lab);
}

static void test_a_header_of_one_route_alone(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--proxy-protocol", "https=v2", "--route", "sni=route-1 -> LAB"));
	lab_pair(&lab, ROUTE_ACME);
	lab_close(&lab);
	lab_open(&lab, LAB("--proxy-protocol", "https=v2", "--route", "sni=route-1 -> LAB"));
	lab_pair(&lab, ROUTE_RULE);
	lab_close(&lab);
}

static void test_a_header_says_what_the_hello_does(void **state)
{
	static const uint8_t tlvs[] = "\x01\0\x02h2\x02\0\x0fwww.example.org";
	uint8_t header[16 + 12 + sizeof(tlvs) - 1] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0\x7f\0\0\x01\x7f\0\0\x01";
	struct lab lab;
	int client, backend;

	(void)state;
	header[15] = sizeof(header) - 16;
	lab_open(&lab, LAB("--proxy-protocol", "https=v2", "--proxy-tlv", "alpn,authority"));
	client = begin(&lab, ROUTE_HTTPS);
	for (int i = 0; i < 2; i++) {
		unsigned int port = i ? lab.port : port_of(client);

		header[24 + 2 * i] = (uint8_t)(port >> 8);
		header[25 + 2 * i] = (uint8_t)port;
	}
	memcpy(header + 28, tlvs, sizeof(tlvs) - 1);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	lab_expect(&lab, backend, header, sizeof(header));
	expect_hello(&lab, backend, ROUTE_HTTPS);
	lab_close(&lab);
}

/* The header does not count as bytes of the client, and does not postpone the idle timeout. */
static void test_a_header_is_no_byte_of_the_session(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_HTTPS);
	size_t length = hello.length;
	struct lab lab;
	int client, backend;
	char bytes[512];

	(void)state;
	lab_open(&lab, LAB("--client-address", "proxy-v2"));
	client = begin(&lab, ROUTE_HTTPS);
	backend = lab_accept(&lab, ROUTE_HTTPS);
	lab_until(&lab, recv(backend, bytes, 28, MSG_PEEK) == 28);
	lab_hang_up(&lab, client);
	lab_until(&lab, recv(backend, bytes, sizeof(bytes), MSG_PEEK) == (ssize_t)(28 + length));
	lab_hang_up(&lab, backend);
	lab_until(&lab, lab_live(&lab) == 0);
	assert_int_equal(lab.worker->counters.bytes_user + lab.worker->counters.bytes_kernel, length);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_web_server_that_restarts_is_waited_for),
		cmocka_unit_test(test_a_web_server_that_is_gone_is_given_up),
		cmocka_unit_test(test_a_dead_responder_leaves_the_web_server),
		cmocka_unit_test(test_a_dead_responder_and_nobody_else),
		cmocka_unit_test(test_neither_responder_nor_web_server),
		cmocka_unit_test(test_a_backend_that_resets_at_once),
		cmocka_unit_test(test_a_client_that_leaves_meanwhile),
		cmocka_unit_test(test_the_next_address_is_tried),
		cmocka_unit_test(test_an_address_that_does_not_answer),
		cmocka_unit_test(test_a_unix_socket),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_somebody_listens_elsewhere),
		cmocka_unit_test(test_a_server_that_does_not_answer),
		cmocka_unit_test(test_a_header_comes_before_the_hello),
		cmocka_unit_test(test_a_header_of_one_route_alone),
		cmocka_unit_test(test_a_header_says_what_the_hello_does),
		cmocka_unit_test(test_a_header_is_no_byte_of_the_session),
	};

	return lab_run_tests(tests);
}
