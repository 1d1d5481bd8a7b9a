/* SPDX-License-Identifier: BSD-2-Clause */
/* attach as a process, from its options to its exit code: signals, its command, the service manager, refusals. */
#include "engine/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "attach/attach.h"
#include "base/descriptor.h"
#include "options/command_line.h"
#include "system/run_directory.h"

static struct lab_process process; /* too large for the stack */

static void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

static char acme[32], https[32], listen_at[32];

static void open_lab(struct lab *lab)
{
	lab_open_bare(lab);
	snprintf(acme, sizeof(acme), "127.0.0.1:%u", lab->backend_ports[ROUTE_ACME]);
	snprintf(https, sizeof(https), "127.0.0.1:%u", lab->backend_ports[ROUTE_HTTPS]);
	snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", lab->port);
}

/* In the front, without BPF, with two workers; then the test's own options. */
#define ATTACH(...)                                                                                                    \
	LAB("attach", "--acme", acme, "--https", https, "--listen", listen_at, "--dataplane", "user", "--no-bypass",   \
	    "--workers", "2", __VA_ARGS__)
#define PLAIN "--log-level", "info"

static void attach(struct lab *lab, const char *const *words)
{
	lab_run(lab, &process, attach_main, words, NULL, NO_DESCRIPTOR);
	lab_process_says(lab, &process, "ready: ");
}

static int wait_for_end(struct lab *lab)
{
	lab_until(lab, lab_process_ends(lab, &process));
	return process.code;
}

/* Whether a new connection is refused; if not, it is reset, so that it leaves nothing behind. */
static bool refuses(struct lab *lab)
{
	int client = lab_dial(lab);
	bool refused;

	lab_turn(lab);
	refused = send(client, "", 1, MSG_NOSIGNAL) < 0;
	lab_reset(lab, client);
	return refused;
}

static void test_it_serves_and_drains(void **state)
{
	struct lab_pair pair;
	struct lab lab;
	uint64_t up = 0;

	(void)state;
	open_lab(&lab);
	attach(&lab, ATTACH(PLAIN));
	pair = lab_pair(&lab, ROUTE_ACME);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	pair = lab_pair(&lab, ROUTE_HTTPS);
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	lab_process_says(&lab, &process, "draining");
	lab_until(&lab, refuses(&lab));
	lab_move(&lab, pair.client, pair.backend, 1 << 20, &up);
	lab_hang_up(&lab, pair.client);
	lab_hang_up(&lab, pair.backend);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	expect_in(process.text, "totals: sessions=");
	lab_close(&lab);
}

static void test_it_ends_at_once(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	open_lab(&lab);
	attach(&lab, ATTACH(PLAIN));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	assert_int_equal(kill(process.pid, SIGINT), 0);
	lab_expect_reset(&lab, pair.client);
	lab_expect_reset(&lab, pair.backend);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	expect_in(process.text, "SIGINT");
	lab_close(&lab);
}

static void test_a_second_signal(void **state)
{
	struct lab_pair pair;
	struct lab lab;

	(void)state;
	open_lab(&lab);
	attach(&lab, ATTACH(PLAIN));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	lab_process_says(&lab, &process, "draining");
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	lab_expect_reset(&lab, pair.client);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

static void test_the_time_to_drain(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab);
	attach(&lab, ATTACH("--drain-timeout", "100ms"));
	lab_pair(&lab, ROUTE_HTTPS);
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	expect_in(process.text, "drain-timeout");
	attach(&lab, ATTACH("--drain-timeout", "0"));
	lab_pair(&lab, ROUTE_HTTPS);
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

static void test_hangup_reloads(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab);
	attach(&lab, ATTACH(PLAIN));
	assert_int_equal(kill(process.pid, SIGHUP), 0);
	lab_process_says(&lab, &process, "reloaded: ");
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

/* --- a command --- */

static void test_the_exit_code_of_a_command(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH("--", "sh", "-c", "exit 7")), 7);
	expect_in(process.text, "sh exited with code 7");
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH("--", "sh", "-c", "kill -KILL $$")),
			 128 + SIGKILL);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH("--", "/no/such/command")), 127);
	expect_in(process.text, "cannot start /no/such/command");
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH("--", "/etc/passwd")), 126);
	lab_close(&lab);
}

/* SIGUSR1 goes to the command only. At the end the command gets SIGTERM, and may take its time. */
static void test_signals_of_a_command(void **state)
{
	static const char script[] = "trap 'echo usr1 came' USR1; trap 'echo term came; exit 3' TERM\n"
				     "echo command is up; while :; do sleep 0.01; done";
	struct lab lab;

	(void)state;
	open_lab(&lab);
	lab_run(&lab, &process, attach_main, ATTACH("--", "sh", "-c", script), NULL, NO_DESCRIPTOR);
	lab_process_says(&lab, &process, "ready: ");
	lab_process_says(&lab, &process, "command is up");
	assert_int_equal(kill(process.pid, SIGUSR1), 0);
	lab_process_says(&lab, &process, "usr1 came");
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	lab_process_says(&lab, &process, "term came");
	assert_int_equal(wait_for_end(&lab), 3);
	lab_close(&lab);
}

/* --- the service manager --- */

/* Rounds until a message that contains `part` arrives. */
static void expect_message(struct lab *lab, int manager, const char *part)
{
	char message[1024] = "";

	do {
		ssize_t length;

		lab_until(lab, (length = recv(manager, message, sizeof(message) - 1, 0)) > 0);
		message[length] = '\0';
	} while (!strstr(message, part));
}

static void test_the_service_manager_hears_of_it(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct lab lab;
	int manager;

	(void)state;
	open_lab(&lab);
	manager = lab_keep(&lab, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/alpnbpf-lab-notify-%d", (int)getpid());
	assert_int_equal(bind(manager, (const struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	setenv("WATCHDOG_USEC", "40000", 1);
	attach(&lab, ATTACH(PLAIN));
	unsetenv("WATCHDOG_USEC");
	unsetenv("NOTIFY_SOCKET");
	expect_message(&lab, manager, "READY=1");
	expect_message(&lab, manager, "STATUS=serving: ");
	expect_message(&lab, manager, "WATCHDOG=1");
	assert_int_equal(kill(process.pid, SIGHUP), 0);
	expect_message(&lab, manager, "RELOADING=1\nMONOTONIC_USEC=");
	expect_message(&lab, manager, "READY=1");
	expect_message(&lab, manager, "WATCHDOG=1");
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	expect_message(&lab, manager, "STOPPING=1");
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	unlink(address.sun_path);
	lab_close(&lab);
}

static void test_a_socket_of_the_service_manager(void **state)
{
	struct lab lab;
	int listener;

	(void)state;
	open_lab(&lab);
	lab_listen(&lab, ROUTE_RULE); /* the socket to pass */
	listener = lab.backends[ROUTE_RULE];
	lab_run(&lab, &process, attach_main,
		LAB("attach", "--acme", acme, "--https", https, "--dataplane", "user", "--no-bypass", "--workers", "2"),
		NULL, listener);
	lab_process_says(&lab, &process, "ready: ");
	lab.port = lab.backend_ports[ROUTE_RULE];
	lab_unlisten(&lab, ROUTE_RULE);
	lab_pair(&lab, ROUTE_HTTPS);
	lab_pair(&lab, ROUTE_ACME);
	assert_int_equal(kill(process.pid, SIGINT), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

/* --- refusals --- */

static void test_what_cannot_be(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, LAB("attach", "--help")), EXIT_DONE);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, LAB("attach", "--version")), EXIT_DONE);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, LAB("attach", "--acme", acme)), EXIT_USAGE);
	/* a port in use */
	snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", lab.backend_ports[ROUTE_HTTPS]);
	snprintf(https, sizeof(https), "127.0.0.1:%u", lab.port);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH(PLAIN)), EXIT_FAILED);
	expect_in(process.text, "cannot listen on 127.0.0.1:");
	lab_close(&lab);

	open_lab(&lab);
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH("--max-connections", "900000")),
			 EXIT_FAILED);
	expect_in(process.text, "--max-connections 900000");
	assert_int_equal(
		lab_run_to_end(&lab, &process, attach_main, ATTACH("--metrics", "unix:/no/such/directory/metrics")),
		EXIT_FAILED);
	expect_in(process.text, "--metrics");
	assert_int_equal(lab_run_to_end(&lab, &process, attach_main, ATTACH("--control-group", "no-such-group")),
			 EXIT_FAILED);
	expect_in(process.text, "no-such-group");
	lab_close(&lab);
}

static void test_metrics_and_a_unix_backend(void **state)
{
	static char metrics[128], *path = metrics + sizeof("unix:") - 1;
	struct lab lab;

	(void)state;
	open_lab(&lab);
	snprintf(metrics, sizeof(metrics), "unix:%s/metrics.sock", run_directory());
	attach(&lab, ATTACH("--metrics", metrics, "--route", "sni=a -> unix:/tmp/none"));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	assert_int_equal(access(path, F_OK), -1);
	lab_close(&lab);
}

/* --- as root: in place, a bypass, transparent --- */

/* The web server gets the client's connection itself. */
static void expect_direct(struct lab *lab, enum route route)
{
	struct lab_hello hello = lab_hello_for(route);
	int client = lab_dial(lab), server;

	lab_send(lab, client, hello.bytes, hello.length);
	server = lab_accept(lab, ROUTE_HTTPS);
	lab_expect(lab, server, hello.bytes, hello.length);
	lab_send(lab, server, "hello", 5);
	lab_expect(lab, client, "hello", 5);
	lab_hang_up(lab, client);
	lab_expect_end(lab, server);
	lab_hang_up(lab, server);
}

static void expect_validation(struct lab *lab)
{
	struct lab_pair pair = lab_pair(lab, ROUTE_ACME);

	lab_send(lab, pair.backend, "certificate", 11);
	lab_expect(lab, pair.client, "certificate", 11);
	lab_hang_up(lab, pair.client);
	lab_hang_up(lab, pair.backend);
}

/* It is armed while the ACME client listens. */
static void check_in_place(const char *inspect)
{
	struct lab lab;

	open_lab(&lab);
	lab.port = lab.backend_ports[ROUTE_HTTPS];
	lab_unlisten(&lab, ROUTE_ACME);
	lab_run(&lab, &process, attach_main,
		LAB("attach", "--acme", acme, "--https", https, "--listen", https, "--inspect", inspect), NULL,
		NO_DESCRIPTOR);
	lab_process_says(&lab, &process, "ready: ");
	expect_direct(&lab, ROUTE_HTTPS);
	lab_listen(&lab, ROUTE_ACME);
	lab_process_says(&lab, &process, "armed: ");
	expect_validation(&lab);
	expect_direct(&lab, ROUTE_HTTPS);
	lab_unlisten(&lab, ROUTE_ACME);
	lab_process_says(&lab, &process, "disarmed");
	expect_direct(&lab, ROUTE_ACME);
	assert_int_equal(kill(process.pid, SIGTERM), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	expect_direct(&lab, ROUTE_HTTPS);
	lab_close(&lab);
}

static void test_in_place_steered(void **state)
{
	(void)state;
	check_in_place("steer");
}

static void test_in_place_watched(void **state)
{
	(void)state;
	check_in_place("auto");
}

/* While disarmed, connections go to the web server's own listener. */
static void test_a_bypass(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab);
	lab_unlisten(&lab, ROUTE_ACME);
	lab_run(&lab, &process, attach_main, LAB("attach", "--acme", acme, "--https", https, "--listen", listen_at),
		NULL, NO_DESCRIPTOR);
	lab_process_says(&lab, &process, "ready: ");
	expect_direct(&lab, ROUTE_HTTPS);
	lab_listen(&lab, ROUTE_ACME);
	lab_process_says(&lab, &process, "armed: ");
	expect_validation(&lab);
	expect_direct(&lab, ROUTE_HTTPS);
	assert_int_equal(kill(process.pid, SIGINT), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

static void test_armed_always(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab);
	lab.port = lab.backend_ports[ROUTE_HTTPS];
	lab_run(&lab, &process, attach_main,
		LAB("attach", "--acme", acme, "--https", https, "--listen", https, "--arm", "always", "--dataplane",
		    "sockmap"),
		NULL, NO_DESCRIPTOR);
	lab_process_says(&lab, &process, "ready: ");
	expect_validation(&lab);
	expect_direct(&lab, ROUTE_HTTPS);
	/* the same port a second time */
	{
		static struct lab_process second;

		assert_int_equal(lab_run_to_end(&lab, &second, attach_main,
						LAB("attach", "--acme", acme, "--https", https, "--listen", https)),
				 EXIT_FAILED);
		expect_in(second.text, "in this network namespace");
	}
	assert_int_equal(kill(process.pid, SIGINT), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

/* The web server sees the client's address, and its answers reach the client. */
static void test_transparent(void **state)
{
	struct sockaddr_in peer = {0};
	socklen_t length = sizeof(peer);
	struct lab_hello hello;
	int client, server;
	struct lab lab;

	(void)state;
	open_lab(&lab);
	attach(&lab, ATTACH("--client-address", "transparent"));
	client = lab_dial_from(&lab, "127.0.0.9");
	hello = lab_hello_for(ROUTE_HTTPS);
	lab_send(&lab, client, hello.bytes, hello.length);
	server = lab_accept(&lab, ROUTE_HTTPS);
	lab_expect(&lab, server, hello.bytes, hello.length);
	assert_int_equal(getpeername(server, (struct sockaddr *)&peer, &length), 0);
	assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000009);
	lab_send(&lab, server, "hello", 5);
	lab_expect(&lab, client, "hello", 5);
	assert_int_equal(kill(process.pid, SIGINT), 0);
	assert_int_equal(wait_for_end(&lab), EXIT_DONE);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_serves_and_drains),
		cmocka_unit_test(test_it_ends_at_once),
		cmocka_unit_test(test_a_second_signal),
		cmocka_unit_test(test_the_time_to_drain),
		cmocka_unit_test(test_hangup_reloads),
		cmocka_unit_test(test_the_exit_code_of_a_command),
		cmocka_unit_test(test_signals_of_a_command),
		cmocka_unit_test(test_the_service_manager_hears_of_it),
		cmocka_unit_test(test_a_socket_of_the_service_manager),
		cmocka_unit_test(test_what_cannot_be),
		cmocka_unit_test(test_metrics_and_a_unix_backend),
	};
	const struct CMUnitTest bpf_tests[] = {
		cmocka_unit_test(test_in_place_steered), cmocka_unit_test(test_in_place_watched),
		cmocka_unit_test(test_a_bypass),         cmocka_unit_test(test_armed_always),
		cmocka_unit_test(test_transparent),
	};

	return lab_run_tests_with(DATAPLANE_USER, tests) + lab_run_tests_with(DATAPLANE_SOCKMAP, bpf_tests);
}
