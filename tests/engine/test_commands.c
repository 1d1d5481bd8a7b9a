/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands that query a running instance, and inspect: their output and exit codes. */
#include "engine/lab.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "commands/commands.h"
#include "operate/operate.h"
#include "options/command_line.h"

static struct lab_process process; /* too large for the stack */

static void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

/* --- an instance --- */

static void test_status_and_sessions(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, LAB("--name", "one"));
	lab_operate(&lab);
	lab_pair(&lab, ROUTE_ACME);
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status")), EXIT_DONE);
	expect_in(process.text, "alpnbpf      ");
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--json", "--name", "one")),
			 EXIT_DONE);
	expect_in(process.text, "{\"version\":");
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--ready")), EXIT_DONE);
	assert_string_equal(process.text, "");
	assert_int_equal(lab_run_to_end(&lab, &process, sessions_main, LAB("sessions")), EXIT_DONE);
	expect_in(process.text, "SESSION ");
	assert_int_equal(lab_run_to_end(&lab, &process, sessions_main, LAB("sessions", "--json")), EXIT_DONE);
	expect_in(process.text, "{\"session\":1,");
	lab.program.phase = PROGRAM_STARTING;
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--ready")), EXIT_FAILED);
	lab_close(&lab);
}

static void test_status_goes_on(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	lab_run(&lab, &process, status_main, LAB("status", "--watch", "--json"), NULL, NO_DESCRIPTOR);
	lab_process_says(&lab, &process, "{\"version\":");
	process.text[process.length = 0] = '\0';
	lab_process_says(&lab, &process, "{\"version\":"); /* the second report, 1 s after the first */
	operate_close(&lab.program);
	lab.operates = false;
	lab_until(&lab, lab_process_ends(&lab, &process)); /* the instance is gone */
	assert_int_equal(process.code, EXIT_FAILED);
	lab_close(&lab);
}

static void test_trace(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	lab_run(&lab, &process, trace_main, LAB("trace", "--route", "acme"), NULL, NO_DESCRIPTOR);
	lab_until(&lab, atomic_load(&lab.program.engine.shared->trace_wanted));
	lab_pair(&lab, ROUTE_ACME);
	lab_process_says(&lab, &process, " route=acme ");
	operate_close(&lab.program);
	lab.operates = false;
	lab_until(&lab, lab_process_ends(&lab, &process));
	lab_close(&lab);
}

static void test_reload_and_detach(void **state)
{
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	lab_operate(&lab);
	assert_int_equal(lab_run_to_end(&lab, &process, reload_main, LAB("reload")), EXIT_DONE);
	expect_in(process.text, "nothing");
	lab.program.phase = PROGRAM_DRAINING;
	assert_int_equal(lab_run_to_end(&lab, &process, reload_main, LAB("reload")), EXIT_FAILED);
	expect_in(process.text, "alpnbpf reload: ");
	lab_run(&lab, &process, detach_main, LAB("detach", "--now"), NULL, NO_DESCRIPTOR);
	lab_until(&lab, lab.program.end_asked == END_NOW);
	lab_settle(&lab);
	assert_false(lab_process_ends(&lab, &process));
	operate_close(&lab.program);
	lab.operates = false;
	lab_until(&lab, lab_process_ends(&lab, &process));
	assert_int_equal(process.code, EXIT_DONE);
	lab_close(&lab);
}

static void test_which_instance(void **state)
{
	struct lab lab, other;

	(void)state;
	lab_open(&lab, LAB("--name", "one"));
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status")), EXIT_FAILED);
	expect_in(process.text, "alpnbpf status: ");
	lab_operate(&lab);
	lab_open(&other, LAB("--name", "two"));
	lab_operate(&other);
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status")), EXIT_FAILED);
	expect_in(process.text, "--name");
	expect_in(process.text, " one");
	expect_in(process.text, " two");
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--name", "one")), EXIT_DONE);
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--name", "three")), EXIT_FAILED);
	expect_in(process.text, "three");
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--name", "../one")), EXIT_FAILED);
	lab_close(&other);
	lab_close(&lab);
}

static void test_usage(void **state)
{
	static int (*const mains[])(int argc, char **argv) = {status_main, sessions_main, trace_main, reload_main,
							      detach_main, inspect_main,  check_main};
	static const char *const names[] = {"status", "sessions", "trace", "reload", "detach", "inspect", "check"};
	struct lab lab;

	(void)state;
	lab_open(&lab, NULL);
	for (size_t i = 0; i < sizeof(mains) / sizeof(mains[0]); i++) {
		assert_int_equal(lab_run_to_end(&lab, &process, mains[i], LAB(names[i], "--help")), EXIT_DONE);
		expect_in(process.text, "Usage: alpnbpf ");
		assert_int_equal(lab_run_to_end(&lab, &process, mains[i], LAB(names[i], "--gopher")), EXIT_USAGE);
		expect_in(process.text, "--gopher");
	}
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--name")), EXIT_USAGE);
	assert_int_equal(lab_run_to_end(&lab, &process, status_main, LAB("status", "--ready", "--json")), EXIT_USAGE);
	assert_int_equal(lab_run_to_end(&lab, &process, trace_main, LAB("trace", "--route", "a b")), EXIT_USAGE);
	lab_close(&lab);
}

/* --- inspect --- */

static void hex_of(struct lab_hello hello, char *out)
{
	for (size_t i = 0; i < hello.length; i++)
		sprintf(out + 2 * i, "%02x", hello.bytes[i]);
}

static int inspect(struct lab *lab, const char *input, const char *const *words)
{
	lab_run(lab, &process, inspect_main, words, input, NO_DESCRIPTOR);
	lab_until(lab, lab_process_ends(lab, &process));
	return process.code;
}

static void test_inspect(void **state)
{
	struct lab lab;
	char hex[2048];

	(void)state;
	lab_open(&lab, NULL);
	hex_of(lab_hello_for(ROUTE_ACME), hex);
	assert_int_equal(inspect(&lab, hex, LAB("inspect")), EXIT_DONE);
	expect_in(process.text, "route     acme\n");
	expect_in(process.text, "sni       www.example.org\nalpn      acme-tls/1\ngrease    no\n");
	assert_int_equal(inspect(&lab, hex, LAB("inspect", "--json", "-")), EXIT_DONE);
	expect_in(process.text, "\"route\":\"acme\"");
	expect_in(process.text, "\"sni\":\"www.example.org\"");
	hex_of(lab_hello("a.route-1", NULL), hex);
	assert_int_equal(inspect(&lab, hex, LAB("inspect", "--route", "sni=*.route-1 -> 9443")), EXIT_DONE);
	expect_in(process.text, "route     route-1 (sni=*.route-1 -> 9443)\n");
	expect_in(process.text, "alpn      none\n");
	assert_int_equal(inspect(&lab, hex, LAB("inspect", "--json", "--route", "sni=*.route-1 -> 9443")), EXIT_DONE);
	expect_in(process.text, "\"rule\":\"sni=*.route-1\"");
	assert_int_equal(inspect(&lab, "GET / HTTP/1.1", LAB("inspect")), EXIT_DONE);
	expect_in(process.text, "route     https\n");
	hex[100] = '\0'; /* half of the hello */
	assert_int_equal(inspect(&lab, hex, LAB("inspect")), EXIT_DONE);
	expect_in(process.text, "incomplete");
	assert_int_equal(inspect(&lab, "00000000  16 03 01\n*\n00000030  01\n", LAB("inspect")), EXIT_FAILED);
	assert_int_equal(inspect(&lab, "", LAB("inspect", "/no/such/file")), EXIT_FAILED);
	expect_in(process.text, "/no/such/file");
	assert_int_equal(inspect(&lab, "", LAB("inspect", "--route", "sni=a")), EXIT_USAGE);
	assert_int_equal(inspect(&lab, "", LAB("inspect", "one", "two")), EXIT_USAGE);
	lab_close(&lab);
}

/* --- check --- */

static void test_check(void **state)
{
	char acme[32], https[32], listen_at[32];
	struct lab lab;

	(void)state;
	lab_open_bare(&lab);
	snprintf(acme, sizeof(acme), "127.0.0.1:%u", lab.backend_ports[ROUTE_ACME]);
	snprintf(https, sizeof(https), "127.0.0.1:%u", lab.backend_ports[ROUTE_HTTPS]);
	snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", lab.port);
	lab_run_to_end(&lab, &process, check_main,
		       LAB("check", "--acme", acme, "--https", https, "--listen", listen_at));
	expect_in(process.text, "kernel");
	expect_in(process.text, acme);
	lab_unlisten(&lab, ROUTE_HTTPS);
	assert_int_equal(lab_run_to_end(&lab, &process, check_main,
					LAB("check", "--acme", acme, "--https", https, "--listen", listen_at,
					    "--dataplane", "user", "--route", "sni=a -> unix:/no/such/socket")),
			 EXIT_FAILED);
	expect_in(process.text, "/no/such/socket");
	/* the address to listen on is in use */
	lab_listen(&lab, ROUTE_HTTPS);
	lab_listen(&lab, ROUTE_RULE);
	snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", lab.backend_ports[ROUTE_RULE]);
	assert_int_equal(lab_run_to_end(&lab, &process, check_main,
					LAB("check", "--acme", acme, "--https", https, "--listen", listen_at,
					    "--dataplane", "user")),
			 EXIT_FAILED);
	expect_in(process.text, listen_at);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_and_sessions),
		cmocka_unit_test(test_status_goes_on),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_reload_and_detach),
		cmocka_unit_test(test_which_instance),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_inspect),
		cmocka_unit_test(test_check),
	};

	return lab_run_tests_with(DATAPLANE_USER, tests);
}
