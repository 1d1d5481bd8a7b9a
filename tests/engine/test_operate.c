/* SPDX-License-Identifier: BSD-2-Clause */
/* A running program from outside: the control socket, metrics, traces, and the limits of their clients. */
#include "engine/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "operate/operate.h"

#define METRICS "/tmp/alpnbpf-lab-metrics.sock"

static int dial_unix(struct lab *lab, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return lab_keep(lab, fd);
}

static int dial_control(struct lab *lab)
{
	return dial_unix(lab, lab->program.control.path);
}

/* Everything up to the end of the stream. Valid until the next call. */
static const char *read_all(struct lab *lab, int fd)
{
	static char answer[65536];
	size_t length = 0;
	ssize_t count;

	do {
		lab_until(lab,
			  (count = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) >= 0 || errno != EAGAIN);
		assert_true(count >= 0);
		length += (size_t)count;
	} while (count);
	answer[length] = '\0';
	lab_hang_up(lab, fd);
	return answer;
}

static const char *ask(struct lab *lab, const char *request)
{
	int fd = dial_control(lab);

	lab_send(lab, fd, request, strlen(request));
	return read_all(lab, fd);
}

static void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

/* --- status, sessions --- */

static void test_status(void **state)
{
	struct lab lab;
	const char *answer;

	(void)state;
	lab_open(&lab, LAB("--name", "lab", "--route", "sni=route-1 -> LAB"));
	lab_operate(&lab);
	lab_pair(&lab, ROUTE_RULE);
	answer = ask(&lab, "status json\n");
	expect_in(answer, "ok\n{\"version\":");
	expect_in(answer, "\"name\":\"lab\",\"pid\":");
	expect_in(answer, "\"state\":\"running\"");
	expect_in(answer, "\"name\":\"route-1\",\"backend\":\"127.0.0.1:");
	expect_in(answer, "\"state\":\"up\"");
	expect_in(answer, "\"watchers\":0,\"complete\":true}\n");
	answer = ask(&lab, "status text\n");
	expect_in(answer, "ok\nalpnbpf      ");
	expect_in(answer, ", name lab, pid ");
	expect_in(answer, "\nsessions     1 now, 16 at most, ");
	lab_close(&lab);
}

static void test_a_backend_that_is_down(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	lab_unlisten(&lab, ROUTE_ACME);
	lab_send(&lab, lab_dial(&lab), hello.bytes, hello.length);
	lab_accept(&lab, ROUTE_HTTPS);
	lab_advance(90000000);
	expect_in(ask(&lab, "status json\n"), "\"state\":\"down\",\"failed_seconds_ago\":90000.");
	expect_in(ask(&lab, "status text\n"), " s ago: Connection refused\n");
	expect_in(ask(&lab, "status text\n"), "running for 1d 01:00:0");
	lab_close(&lab);
}

static void test_sessions(void **state)
{
	struct lab lab;
	const char *answer;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	assert_string_equal(ask(&lab, "sessions json\n"), "ok\n");
	lab_pair(&lab, ROUTE_ACME);
	lab_send(&lab, lab_dial(&lab), "\x16", 1);
	lab_until(&lab, lab_live(&lab) == 2);
	answer = ask(&lab, "sessions json\n");
	expect_in(answer, "{\"session\":1,\"client\":\"127.0.0.1:");
	expect_in(answer, "\"state\":\"open\",\"route\":\"acme\",\"backend\":\"127.0.0.1:");
	expect_in(answer, "\"sni\":\"www.example.org\"");
	expect_in(answer, "{\"session\":2,");
	expect_in(answer, "\"state\":\"hello\",\"route\":\"undecided\"");
	answer = ask(&lab, "sessions text\n");
	expect_in(answer, "ok\nSESSION ");
	expect_in(answer, " www.example.org\n");
	lab_close(&lab);
}

/* A worker does not answer: after the time for it the report says so. */
static void test_a_worker_that_does_not_answer(void **state)
{
	static const char request[] = "status text\n", other[] = "sessions text\n";
	struct lab lab;
	int fds[2];

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	for (int i = 0; i < 2; i++)
		fds[i] = dial_control(&lab);
	lab_settle(&lab);
	assert_true(send(fds[0], request, strlen(request), 0) > 0);
	assert_true(send(fds[1], other, strlen(other), 0) > 0);
	operate_run(&lab.program); /* asks the worker */
	lab_advance(999);
	operate_run(&lab.program);
	assert_true(operate_next(&lab.program) <= lab_now() + 1000);
	lab_advance(2);
	operate_run(&lab.program);
	expect_in(read_all(&lab, fds[1]), "error: a worker did not answer in time, or memory ran out\n");
	expect_in(read_all(&lab, fds[0]), "incomplete   a worker did not answer in time\n");
	/* the next answer is complete again */
	expect_in(ask(&lab, "status json\n"), "\"complete\":true");
	lab_close(&lab);
}

/* --- requests --- */

static void test_requests_that_are_none(void **state)
{
	struct lab lab;
	char long_one[SERVER_REQUEST_MAX + 2];
	int fd;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	expect_in(ask(&lab, "reboot\n"), "error: unknown command; known commands: status, ");
	expect_in(ask(&lab, "status\n"), "error: expected \"text\" or \"json\"\n");
	expect_in(ask(&lab, "trace text route-3\n"), "error: no such route\n");
	memset(long_one, 'x', sizeof(long_one));
	fd = dial_control(&lab);
	lab_send(&lab, fd, long_one, sizeof(long_one));
	assert_string_equal(read_all(&lab, fd), "error: request too long\n");
	/* in pieces, with bytes after its end */
	fd = dial_control(&lab);
	lab_send(&lab, fd, "rea", 3);
	lab_settle(&lab);
	lab_send(&lab, fd, "dy\nand more\n", 12);
	assert_string_equal(read_all(&lab, fd), "ok\n");
	/* closed without a request */
	fd = dial_control(&lab);
	lab_settle(&lab);
	lab_hang_up(&lab, fd);
	lab_settle(&lab);
	lab_close(&lab);
}

static void test_ready_by_phase(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	assert_string_equal(ask(&lab, "ready\n"), "ok\n");
	lab.program.phase = PROGRAM_STARTING;
	assert_string_equal(ask(&lab, "ready\n"), "error: not ready yet\n");
	lab.program.phase = PROGRAM_DRAINING;
	assert_string_equal(ask(&lab, "ready\n"), "error: draining\n");
	lab_close(&lab);
}

static void test_detach_asks_for_the_end(void **state)
{
	struct lab lab;
	int drains, now;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	drains = dial_control(&lab);
	lab_send(&lab, drains, "detach\n", 7);
	lab_expect(&lab, drains, "ok\n", 3);
	assert_int_equal(lab.program.end_asked, END_DRAIN);
	now = dial_control(&lab);
	lab_send(&lab, now, "detach now\n", 11);
	lab_expect(&lab, now, "ok\n", 3);
	assert_int_equal(lab.program.end_asked, END_NOW);
	/* the answer comes when the program has ended */
	lab_wait(&lab, 60000);
	lab_expect_nothing(&lab, drains);
	lab_expect_nothing(&lab, now);
	lab_close(&lab);
}

/* --- clients --- */

static void test_clients_have_their_time(void **state)
{
	struct lab lab;
	int silent;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	silent = dial_control(&lab);
	lab_settle(&lab);
	lab_wait(&lab, 4900);
	lab_expect_nothing(&lab, silent);
	lab_wait(&lab, 200);
	lab_expect_end(&lab, silent);
	lab_close(&lab);
}

/* The oldest client without a request makes room for a new one. */
static void test_places_are_bounded(void **state)
{
	int silent[SERVER_PLACES];
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	for (int i = 0; i < SERVER_PLACES; i++) {
		silent[i] = dial_control(&lab);
		lab_settle(&lab);
	}
	assert_string_equal(ask(&lab, "ready\n"), "ok\n");
	lab_expect_end(&lab, silent[0]);
	for (int i = 1; i < SERVER_PLACES; i++)
		lab_expect_nothing(&lab, silent[i]);
	lab_close(&lab);
}

/* --- traces --- */

static void test_a_trace_follows_hellos(void **state)
{
	char line[1024];
	struct lab lab;
	int all, acme, https;
	ssize_t length;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	all = dial_control(&lab);
	lab_send(&lab, all, "trace text\n", 11);
	lab_expect(&lab, all, "ok\n", 3);
	acme = dial_control(&lab);
	lab_send(&lab, acme, "trace json acme\n", 16);
	lab_expect(&lab, acme, "ok\n", 3);
	https = dial_control(&lab);
	lab_send(&lab, https, "trace text https\n", 17);
	lab_expect(&lab, https, "ok\n", 3);
	lab_settle(&lab);
	assert_true(atomic_load(&lab.program.engine.shared->trace_wanted));

	lab_pair(&lab, ROUTE_ACME);
	lab_until(&lab, (length = recv(all, line, sizeof(line) - 1, 0)) > 0);
	line[length] = '\0';
	expect_in(line, " sni=www.example.org alpn=acme-tls/1 hello=acme route=acme backend=127.0.0.1:");
	expect_in(line, " connected after 0.");
	lab_until(&lab, (length = recv(acme, line, sizeof(line) - 1, 0)) > 0);
	line[length] = '\0';
	expect_in(line, "\"hello\":\"acme\",\"sni\":\"www.example.org\",\"alpn\":[\"acme-tls/1\"],\"route\":\"acme\"");
	lab_expect_nothing(&lab, https);

	/* a connection that ends before its first byte gets a line as well */
	lab_reset(&lab, all);
	lab_reset(&lab, acme);
	lab_hang_up(&lab, https);
	lab_settle(&lab);
	assert_false(atomic_load(&lab.program.engine.shared->trace_wanted));
	lab_close(&lab);
}

static void test_a_trace_of_what_fails(void **state)
{
	struct lab_hello hello = lab_hello_for(ROUTE_ACME);
	char line[1024];
	struct lab lab;
	ssize_t length;
	int all, client;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	all = dial_control(&lab);
	lab_send(&lab, all, "trace text\n", 11);
	lab_expect(&lab, all, "ok\n", 3);
	lab_settle(&lab);
	lab_unlisten(&lab, ROUTE_ACME);
	lab_send(&lab, lab_dial(&lab), hello.bytes, hello.length);
	lab_accept(&lab, ROUTE_HTTPS);
	lab_until(&lab, (length = recv(all, line, sizeof(line) - 1, 0)) > 0);
	line[length] = '\0';
	expect_in(line, "hello=acme route=https backend=127.0.0.1:");
	expect_in(line, " fallback after ");
	client = lab_dial(&lab);
	lab_send(&lab, client, "\x16", 1);
	lab_until(&lab, lab_live(&lab) == 2);
	lab_reset(&lab, client);
	lab_until(&lab, (length = recv(all, line, sizeof(line) - 1, 0)) > 0);
	line[length] = '\0';
	expect_in(line, "sni=- alpn=- hello=none route=undecided backend=- client_reset after ");
	lab_close(&lab);
}

static void test_followers_are_bounded(void **state)
{
	int followers[SERVER_FOLLOWERS];
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	for (int i = 0; i < SERVER_FOLLOWERS; i++) {
		followers[i] = dial_control(&lab);
		lab_send(&lab, followers[i], "trace text\n", 11);
		lab_expect(&lab, followers[i], "ok\n", 3);
	}
	assert_string_equal(ask(&lab, "trace text\n"), "error: too many traces are running; the limit is 4\n");
	expect_in(ask(&lab, "status json\n"), "\"watchers\":4");
	lab_hang_up(&lab, followers[0]);
	lab_settle(&lab);
	expect_in(ask(&lab, "status json\n"), "\"watchers\":3");
	lab_close(&lab);
}

/* A client that does not read loses lines; when it reads again, a line says how many. */
static void test_a_follower_that_does_not_read(void **state)
{
	static char text[1 << 20];
	struct server_client *client = NULL;
	size_t length = 0;
	struct lab lab;
	char line[1000];
	int follower;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	follower = dial_control(&lab);
	lab_send(&lab, follower, "trace text\n", 11);
	lab_expect(&lab, follower, "ok\n", 3);
	for (int i = 0; i < SERVER_CLIENTS; i++)
		if (lab.program.servers.clients[i].state == CLIENT_FOLLOWS)
			client = &lab.program.servers.clients[i];
	assert_non_null(client);
	memset(line, '.', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 1000; i++)
		server_send_line(client, line, sizeof(line));
	assert_int_equal(client->answer.length / sizeof(line), SERVER_BACKLOG_MAX / sizeof(line));
	assert_int_equal(client->dropped, 1000 - SERVER_BACKLOG_MAX / sizeof(line));
	while (length < SERVER_BACKLOG_MAX / sizeof(line) * sizeof(line)) {
		ssize_t count;

		lab_until(&lab, (count = recv(follower, text, sizeof(text), 0)) > 0);
		length += (size_t)count;
	}
	server_send_line(client, "next\n", 5);
	lab_expect(&lab, follower, "(738 lines dropped: reader too slow)\nnext\n", 42);
	lab_close(&lab);
}

/* --- metrics --- */

static const char *scrape(struct lab *lab, const char *request)
{
	int fd = dial_unix(lab, METRICS);

	lab_send(lab, fd, request, strlen(request));
	return read_all(lab, fd);
}

static void test_metrics(void **state)
{
	struct lab lab;
	const char *answer;
	char long_one[SERVER_REQUEST_MAX + 2];
	int fd;

	(void)state;
	lab_open(&lab, LAB("--metrics", "unix:" METRICS));
	lab_operate(&lab);
	lab_pair(&lab, ROUTE_HTTPS);
	answer = scrape(&lab, "GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n");
	expect_in(answer, "HTTP/1.1 200 OK\r\n");
	expect_in(answer, "alpnbpf_sessions{route=\"https\"} 1\n");
	expect_in(answer, "# TYPE alpnbpf_connections_accepted_total counter\nalpnbpf_connections_accepted_total 1\n");
	expect_in(answer, "alpnbpf_sessions_max 16\n");
	answer = scrape(&lab, "HEAD /metrics HTTP/1.1\r\n\r\n");
	expect_in(answer, "HTTP/1.1 200 OK\r\n");
	assert_string_equal(answer + strlen(answer) - 4, "\r\n\r\n");
	expect_in(scrape(&lab, "GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found\r\n");
	expect_in(scrape(&lab, "\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n");
	memset(long_one, 'x', sizeof(long_one));
	fd = dial_unix(&lab, METRICS);
	lab_send(&lab, fd, long_one, sizeof(long_one));
	expect_in(read_all(&lab, fd), "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	lab_close(&lab);
	assert_int_equal(access(METRICS, F_OK), -1);
}

/* The counters of some workers only would look like counters that decrease. */
static void test_no_metrics_rather_than_half_of_them(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
	struct lab lab;
	int fd;

	(void)state;
	lab_open(&lab, LAB("--metrics", "unix:" METRICS));
	lab_operate(&lab);
	fd = dial_unix(&lab, METRICS);
	lab_settle(&lab);
	assert_true(send(fd, request, strlen(request), 0) > 0);
	operate_run(&lab.program);
	lab_advance(1001);
	operate_run(&lab.program);
	expect_in(read_all(&lab, fd), "HTTP/1.1 503 Service Unavailable\r\n");
	lab_close(&lab);
}

/* --- the socket --- */

static void test_names(void **state)
{
	struct lab lab, other;
	struct sentence why;
	struct control control;

	(void)state;
	lab_open(&lab, LAB("--name", "taken"));
	lab_operate(&lab);
	assert_int_equal(control_open(&control, &lab.program.options, &lab.program.user, &why), -EADDRINUSE);
	expect_in(why.text, "the name \"taken\" is in use by another alpnbpf");
	lab_close(&lab);

	/* without --name the name is the port, or, where that is in use, the port and the PID */
	lab_open(&lab, NULL);
	lab_operate(&lab);
	lab_open(&other, NULL);
	other.program.options.listeners[0] = lab.program.options.listeners[0];
	lab_operate(&other);
	assert_string_not_equal(lab.program.control.name, other.program.control.name);
	assert_memory_equal(lab.program.control.name, other.program.control.name, strlen(lab.program.control.name));
	lab_close(&other);
	lab_close(&lab);

	/* a socket that a killed instance left behind is replaced */
	lab_open(&lab, LAB("--name", "killed"));
	lab_operate(&lab);
	close(lab.program.control.fd);
	close(lab.program.control.lock);
	assert_int_equal(control_open(&control, &lab.program.options, &lab.program.user, &why), 0);
	lab.program.control = control;
	lab.program.control_server.fd = control.fd;
	lab_close(&lab);
}

static void test_a_group(void **state)
{
	struct lab lab;
	struct sentence why;
	struct control control;
	struct stat status;

	(void)state;
	if (geteuid() != 0)
		skip();
	lab_open(&lab, LAB("--name", "group", "--control-group", "1"));
	lab_operate(&lab);
	assert_int_equal(stat(lab.program.control.path, &status), 0);
	assert_int_equal(status.st_gid, 1);
	assert_int_equal(status.st_mode & 0777, 0660);
	assert_string_equal(ask(&lab, "ready\n"), "ok\n");
	lab_close(&lab);
	snprintf(lab.program.options.control_group, sizeof(lab.program.options.control_group), "no-such-group");
	assert_int_equal(control_open(&control, &lab.program.options, &lab.program.user, &why), -EINVAL);
	expect_in(why.text, "no-such-group");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_a_backend_that_is_down),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_a_worker_that_does_not_answer),
		cmocka_unit_test(test_requests_that_are_none),
		cmocka_unit_test(test_ready_by_phase),
		cmocka_unit_test(test_detach_asks_for_the_end),
		cmocka_unit_test(test_clients_have_their_time),
		cmocka_unit_test(test_places_are_bounded),
		cmocka_unit_test(test_a_trace_follows_hellos),
		cmocka_unit_test(test_a_trace_of_what_fails),
		cmocka_unit_test(test_followers_are_bounded),
		cmocka_unit_test(test_a_follower_that_does_not_read),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_no_metrics_rather_than_half_of_them),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_a_group),
	};

	return lab_run_tests_with(DATAPLANE_USER, tests);
}
