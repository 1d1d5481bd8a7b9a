/* SPDX-License-Identifier: BSD-2-Clause */
/* The steps of a reload: the file is read, compared with the running options, and adopted or refused. */
#include "engine/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/configuration.h"
#include "engine/loop.h"
#include "operate/operate.h"
#include "operate/reload.h"

static char path[64];

static void write_file(const char *text)
{
	FILE *file;

	unlink(path); /* may be the pipe of another test */
	file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void open_lab(struct lab *lab, const char *text)
{
	snprintf(path, sizeof(path), "/tmp/alpnbpf-lab-%d.conf", (int)getpid());
	write_file(text);
	lab_open(lab, LAB("--config", path));
	lab_operate(lab);
}

static void close_lab(struct lab *lab)
{
	lab_close(lab);
	unlink(path);
}

/* One reload, from the request to its result. */
static void reload(struct lab *lab)
{
	uint64_t turn = reload_ask(&lab->program.reload);

	lab_until(lab, lab->program.reload.turn == turn && lab->program.reload.state == RELOAD_IDLE);
}

static void expect_done(struct lab *lab, const char *text, const char *result)
{
	write_file(text);
	reload(lab);
	assert_string_equal(lab->program.reload.result.text, result);
	assert_false(lab->program.reload.failed);
}

static void expect_failed(struct lab *lab, const char *part)
{
	if (!strstr(lab->program.reload.result.text, part))
		fail_msg("no \"%s\" in: %s", part, lab->program.reload.result.text);
	assert_true(lab->program.reload.failed);
}

static void expect_refused(struct lab *lab, const char *text, const char *part)
{
	struct configuration *before = atomic_load(&lab->program.engine.configuration);

	write_file(text);
	reload(lab);
	expect_failed(lab, part);
	assert_ptr_equal(atomic_load(&lab->program.engine.configuration), before);
}

static void test_what_changes_is_said(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab, "idle-timeout = 1m\n");
	expect_done(&lab, "idle-timeout = 1m\n", "nothing changed");
	expect_done(&lab, "idle-timeout = 2m\nmax-per-source = 5\n",
		    "changed for new sessions: idle-timeout, max-per-source");
	assert_int_equal(lab.program.options.idle_timeout_ms, 120000);
	assert_int_equal(lab.worker->configuration->options.idle_timeout_ms, 120000);
	assert_non_null(atomic_load(&lab.program.engine.sources));
	lab_until(&lab, !lab.worker->configuration->older); /* no session uses the old one */
	expect_done(&lab, "", "changed for new sessions: idle-timeout, max-per-source");
	expect_done(&lab, "max-connections = 3\n", "changed for new sessions: max-connections");
	assert_int_equal(lab.worker->configuration->max_sessions, 3);
	assert_int_equal(lab.program.reload.done_count, 4);
	close_lab(&lab);
}

static void test_mistakes_change_nothing(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab, "");
	expect_refused(&lab, "idle-timeout = soon\n", ":1: idle-timeout soon: ");
	expect_refused(&lab, "workers = 3\n", "workers cannot change while alpnbpf runs");
	expect_refused(&lab, "max-connections = 1000\n", "max-connections 1000 exceeds the 16 sessions");
	expect_refused(&lab, "route = sni=a -> 9443\n", "alpnbpf started without rules");
	unlink(path);
	reload(&lab);
	assert_true(lab.program.reload.failed);
	assert_int_equal(lab.program.reload.failed_count, 5);
	expect_done(&lab, "", "nothing changed");
	close_lab(&lab);
}

static void test_an_address_more_and_one_less(void **state)
{
	struct lab lab;
	char text[64];
	int fd;
	struct sockaddr_in address = {.sin_family = AF_INET};

	(void)state;
	open_lab(&lab, "");
	lab_drop_option(&lab, "--listen");
	snprintf(text, sizeof(text), "listen = 127.0.0.1:%u\nlisten = 127.0.0.2:%u\n", lab.port, lab.port);
	expect_done(&lab, text, "changed for new sessions: listen");
	assert_int_equal(lab.worker->accepting.count, 2);
	fd = lab_keep(&lab, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	address.sin_port = htons((uint16_t)lab.port);
	assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &address.sin_addr), 1);
	assert_true(connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS);
	lab_send(&lab, fd, "GET", 3);
	lab_expect(&lab, lab_accept(&lab, ROUTE_HTTPS), "GET", 3);
	snprintf(text, sizeof(text), "listen = 127.0.0.1:%u\n", lab.port);
	expect_done(&lab, text, "changed for new sessions: listen");
	assert_int_equal(lab.worker->accepting.count, 1);
	close_lab(&lab);
}

static void test_a_port_that_is_taken(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct lab lab;
	char text[96];

	(void)state;
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	open_lab(&lab, "");
	lab_drop_option(&lab, "--listen");
	snprintf(text, sizeof(text), "listen = 127.0.0.1:%u\nlisten = 127.0.0.1:%u\n", lab.port,
		 ntohs(address.sin_port));
	expect_refused(&lab, text, "cannot listen on 127.0.0.1:");
	assert_int_equal(lab.worker->accepting.count, 1);
	close_lab(&lab);
	close(fd);
}

static void test_rules(void **state)
{
	char rules[3][96];
	struct lab lab;
	int half;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/alpnbpf-lab-%d.conf", (int)getpid());
	write_file("");
	lab_open(&lab, LAB("--route", "sni=route-1 -> LAB", "--config", path));
	lab_operate(&lab);
	for (int i = 0; i < 3; i++)
		snprintf(rules[i], sizeof(rules[i]), "route = sni=route-%d -> 127.0.0.1:%u\n", i + 2,
			 lab.backend_ports[ROUTE_RULE]);
	lab_drop_option(&lab, "--route");

	half = lab_dial(&lab);
	lab_send(&lab, half, "\x16\x03\x01", 3);
	lab_until(&lab, lab_live(&lab) == 1);
	expect_done(&lab, rules[0], "changed for new sessions: route");
	assert_int_equal(atomic_load(&lab.program.engine.configuration)->rules, 2);
	/* that hello still uses the first table */
	expect_refused(&lab, rules[1], "connections are still being matched against the rules of two reloads ago");
	lab_hang_up(&lab, half);
	lab_until(&lab, lab_live(&lab) == 0 || lab_session(&lab)->state == SESSION_OPEN);
	expect_done(&lab, rules[2], "changed for new sessions: route");
	assert_int_equal(atomic_load(&lab.program.engine.configuration)->rules, 1);
	close_lab(&lab);
}

/* --- time --- */

/* Drives the main thread only, not the worker; a third thread reads the file. */
static void run_until(struct lab *lab, enum reload_state state)
{
	for (uint64_t since = lab_real_ms(); lab->program.reload.state != state && lab_real_ms() - since < 10000;) {
		operate_run(&lab->program);
		usleep(1000);
	}
	assert_int_equal(lab->program.reload.state, state);
}

/* It does not take the options: the old ones stay in force, also if it takes the new ones late. */
static void test_a_worker_that_does_not_take_them(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab, "");
	write_file("idle-timeout = 5m\n");
	reload_ask(&lab.program.reload);
	run_until(&lab, RELOAD_HANDED);
	lab_advance(1999);
	operate_run(&lab.program);
	assert_int_equal(lab.program.reload.state, RELOAD_HANDED);
	lab_advance(2);
	operate_run(&lab.program);
	assert_int_equal(lab.program.reload.state, RELOAD_IDLE);
	expect_failed(&lab, "the workers have not taken the new options in time");
	/* the next reload is refused until the worker has answered this one */
	reload_ask(&lab.program.reload);
	operate_run(&lab.program);
	expect_failed(&lab, "a worker has not adopted the last reload yet");
	lab_settle(&lab);
	assert_int_not_equal(lab.worker->configuration->options.idle_timeout_ms, 300000);
	assert_int_not_equal(lab.program.options.idle_timeout_ms, 300000);
	expect_done(&lab, "idle-timeout = 6m\n", "changed for new sessions: idle-timeout");
	assert_int_equal(lab.worker->configuration->options.idle_timeout_ms, 360000);
	close_lab(&lab);
}

static void test_a_worker_that_does_not_come_round(void **state)
{
	struct lab lab;
	uint64_t turn;

	(void)state;
	open_lab(&lab, "");
	write_file("idle-timeout = 5m\n");
	turn = reload_ask(&lab.program.reload);
	run_until(&lab, RELOAD_HANDED);
	assert_int_equal(worker_turn(lab.worker, 0), 0);
	run_until(&lab, RELOAD_ADOPTED);
	lab_advance(1999);
	operate_run(&lab.program);
	assert_int_equal(lab.program.reload.state, RELOAD_ADOPTED);
	lab_advance(2);
	operate_run(&lab.program);
	assert_int_equal(lab.program.reload.state, RELOAD_IDLE);
	assert_int_equal(lab.program.reload.turn, turn);
	assert_false(lab.program.reload.failed);
	/* the next reload is refused until the worker has adopted this one */
	reload_ask(&lab.program.reload);
	operate_run(&lab.program);
	expect_failed(&lab, "a worker has not adopted the last reload yet");
	reload(&lab);
	assert_false(lab.program.reload.failed);
	close_lab(&lab);
}

/* The file is a pipe without a writer, so the read does not end: the main loop keeps running, and gives up. */
static void test_reading_that_does_not_end(void **state)
{
	struct lab lab;
	int writer;

	(void)state;
	open_lab(&lab, "");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	reload_ask(&lab.program.reload);
	lab_settle(&lab);
	assert_int_equal(lab.program.reload.state, RELOAD_PARSES);
	assert_int_not_equal(reload_fd(&lab.program.reload), -1);
	lab_pair(&lab, ROUTE_HTTPS);
	lab_wait(&lab, 7900);
	assert_int_equal(lab.program.reload.state, RELOAD_PARSES);
	lab_wait(&lab, 200);
	assert_int_equal(lab.program.reload.state, RELOAD_IDLE);
	expect_failed(&lab, "took longer than 8 s");
	reload(&lab);
	expect_failed(&lab, "an earlier reload");
	/* the read ends, and its result is dropped */
	assert_true((writer = open(path, O_WRONLY | O_CLOEXEC)) >= 0);
	close(writer);
	lab_until(&lab, !lab.program.reload.parsing);
	assert_int_equal(reload_next(&lab.program.reload), UINT64_MAX);
	unlink(path);
	expect_done(&lab, "idle-timeout = 7m\n", "changed for new sessions: idle-timeout");
	close_lab(&lab);
}

static void test_asked_while_one_is_under_way(void **state)
{
	struct lab lab;
	uint64_t first, second;

	(void)state;
	open_lab(&lab, "");
	first = reload_ask(&lab.program.reload);
	operate_run(&lab.program);
	write_file("idle-timeout = 3m\n");
	second = reload_ask(&lab.program.reload);
	assert_int_equal(second, first + 1);
	lab_until(&lab, lab.program.reload.turn == second && lab.program.reload.state == RELOAD_IDLE);
	assert_int_equal(lab.program.options.idle_timeout_ms, 180000);
	close_lab(&lab);
}

static void test_the_end_comes_first(void **state)
{
	struct lab lab;

	(void)state;
	open_lab(&lab, "");
	reload_ask(&lab.program.reload);
	operate_run(&lab.program);
	lab.program.phase = PROGRAM_DRAINING;
	lab_until(&lab, lab.program.reload.state == RELOAD_IDLE);
	expect_failed(&lab, "alpnbpf is shutting down");
	reload(&lab);
	expect_failed(&lab, "alpnbpf is shutting down");
	lab_until(&lab, !lab.program.reload.parsing);
	close_lab(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_changes_is_said),
		cmocka_unit_test(test_mistakes_change_nothing),
		cmocka_unit_test(test_an_address_more_and_one_less),
		cmocka_unit_test(test_a_port_that_is_taken),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_a_worker_that_does_not_take_them),
		cmocka_unit_test(test_a_worker_that_does_not_come_round),
		cmocka_unit_test(test_reading_that_does_not_end),
		cmocka_unit_test(test_asked_while_one_is_under_way),
		cmocka_unit_test(test_the_end_comes_first),
	};

	return lab_run_tests_with(DATAPLANE_USER, tests);
}
