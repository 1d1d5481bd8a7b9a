// SPDX-License-Identifier: BSD-2-Clause
/*
 * Log lines as they arrive on stderr: their form, with hostile names, with several threads, and the limit of one line
 * per second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"
#include "unit/capture.h"

#define THREADS        8
#define LINES_A_THREAD 500

/* Does text start with 2026-11-24T05:00:00.123Z? */
static bool starts_with_time(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	return true;
}

static void test_text(void **state)
{
	time_t before = time(NULL);
	struct tm tm = {0};
	const char *line;

	(void)state;
	capture_begin();
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("listening on %s:%d", "192.0.2.1", 443);
	line = capture_end();
	assert_true(starts_with_time(line));
	assert_string_equal(line + 24, " info listening on 192.0.2.1:443\n");
	assert_non_null(strptime(line, "%Y-%m-%dT%H:%M:%S", &tm));
	assert_in_range(timegm(&tm), before, time(NULL));
}

static int evaluated;

static int evaluate(void)
{
	return ++evaluated;
}

static void test_levels(void **state)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};

	(void)state;
	for (int threshold = LOG_LEVEL_ERROR; threshold <= LOG_LEVEL_DEBUG; threshold++) {
		const char *at;

		evaluated = 0;
		capture_begin();
		log_init((enum log_level)threshold, LOG_FORMAT_TEXT);
		log_error("%d", 0);
		log_warn("%d", 1);
		log_info("%d", 2);
		log_debug("%d", 2 + evaluate());
		at = capture_end();
		for (int level = 0; level <= threshold; level++) {
			char end[32];

			snprintf(end, sizeof(end), " %s %d\n", names[level], level);
			assert_true(starts_with_time(at));
			assert_memory_equal(at + 24, end, strlen(end));
			at += 24 + strlen(end);
		}
		assert_string_equal(at, "");
		assert_int_equal(evaluated, threshold == LOG_LEVEL_DEBUG);
		assert_true(log_enabled((enum log_level)threshold));
		assert_false(log_enabled((enum log_level)(threshold + 1)));
	}
}

static void test_journal(void **state)
{
	struct stat status;
	char stream[64];
	const char *line;

	(void)state;
	capture_begin();
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	log_error("a");
	log_warn("b");
	log_info("c");
	log_debug("d");
	line = capture_end();
	assert_string_equal(line, "<3>a\n<4>b\n<6>c\n<7>d\n");

	/* JOURNAL_STREAM is set, but stderr is another file. */
	capture_begin();
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev + 1,
		 (unsigned long long)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("c");
	line = capture_end();
	assert_true(starts_with_time(line));

	for (size_t i = 0; i < 3; i++) {
		setenv("JOURNAL_STREAM", ((const char *[]){"", "nonsense", "1:2:3"})[i], 1);
		capture_begin();
		log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
		log_info("c");
		assert_true(starts_with_time(capture_end()));
	}
	unsetenv("JOURNAL_STREAM");
}

/* A message, as it is written in a text line and in a JSON string. */
static const struct hostile {
	const char *message, *text, *json;
} hostile[] = {
	{"plain", "plain", "plain"},
	{"a\nb\tc\x1b[31m", "a\\x0ab\\x09c\\x1b[31m", "a\\u000ab\\u0009c\\u001b[31m"},
	{"\"\\/\x7f", "\"\\/\\x7f", "\\\"\\\\/\\u007f"},
	{"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
	 "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
	{"\xc2\x9b", "\\x9b", "\\u009b"},                             /* C1 control: CSI to a terminal */
	{"\x80", "\\x80", "\\ufffd"},                                 /* continuation without a start */
	{"\xff\xfe", "\\xff\\xfe", "\\ufffd\\ufffd"},                 /* never in UTF-8 */
	{"\xc0\xaf", "\\xc0\\xaf", "\\ufffd\\ufffd"},                 /* overlong / */
	{"\xe0\x80\xaf", "\\xe0\\x80\\xaf", "\\ufffd\\ufffd\\ufffd"}, /* overlong */
	{"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\ufffd\\ufffd\\ufffd"}, /* surrogate */
	{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* above U+10FFFF */
	{"x\xe2\x82", "x\\xe2\\x82", "x\\ufffd\\ufffd"},                              /* cut off at the end */
	{"\xe2\x82"
	 "A",
	 "\\xe2\\x82"
	 "A",
	 "\\ufffd\\ufffd"
	 "A"},
	{"", "", ""},
};

static void test_hostile(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		char expected[256];
		const char *line;

		capture_begin();
		log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
		log_warn("%s", hostile[i].message);
		line = capture_end();
		snprintf(expected, sizeof(expected), " warn %s\n", hostile[i].text);
		assert_string_equal(line + 24, expected);

		capture_begin();
		log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
		log_warn("%s", hostile[i].message);
		line = capture_end();
		snprintf(expected, sizeof(expected), "\",\"level\":\"warn\",\"message\":\"%s\"}\n", hostile[i].json);
		assert_memory_equal(line, "{\"time\":\"", 9);
		assert_true(starts_with_time(line + 9));
		assert_string_equal(line + 9 + 24, expected);
	}
}

static void test_long(void **state)
{
	static char message[5000];
	const char *line;

	(void)state;
	memset(message, 1, sizeof(message) - 1); /* six bytes each in JSON */
	capture_begin();
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_info("%s", message);
	line = capture_end();
	assert_in_range(strlen(line), PIPE_BUF - 10, PIPE_BUF - 1); /* written as one, whoever else writes */
	assert_string_equal(line + strlen(line) - 9, "\\u0001\"}\n");
}

static void test_errno_kept(void **state)
{
	(void)state;
	capture_begin();
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	close(STDERR_FILENO); /* write fails */
	errno = ENOSPC;
	log_info("unseen");
	assert_int_equal(errno, ENOSPC);
	capture_end();

	/* The next line that can be written is preceded by one that says so. */
	capture_begin();
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("seen");
	assert_non_null(strstr(capture_end(), " warn 1 line of the log could not be written: Bad file descriptor\n"));
	assert_non_null(strstr(captured, " info seen\n"));
}

static void *write_lines(void *argument)
{
	for (int i = 0; i < LINES_A_THREAD; i++)
		log_info("thread %zu line %d of many", (size_t)argument, i);
	return NULL;
}

static void run_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void test_threads(void **state)
{
	int next[THREADS] = {0}, lines = 0;
	char *rest, *line;

	(void)state;
	capture_begin();
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	run_threads(write_lines);
	capture_end();
	for (rest = captured; (line = strsep(&rest, "\n")) && *line; lines++) {
		size_t thread;
		int number, end = 0;

		assert_true(starts_with_time(line));
		assert_int_equal(sscanf(line + 24, " info thread %zu line %d of many%n", &thread, &number, &end), 2);
		assert_int_equal(end, strlen(line + 24));
		assert_true(thread < THREADS);
		assert_int_equal(number, next[thread]++);
	}
	assert_int_equal(lines, THREADS * LINES_A_THREAD);
}

static struct log_limit shared_limit;
static unsigned int passed;

static void *hammer_limit(void *argument)
{
	unsigned long suppressed;

	(void)argument;
	for (int i = 0; i < LINES_A_THREAD; i++)
		if (log_limit_pass(&shared_limit, &suppressed))
			__atomic_fetch_add(&passed, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void test_limit(void **state)
{
	struct log_limit limit = {0};
	unsigned long suppressed = 99;

	(void)state;
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 0);
	assert_false(log_limit_pass(&limit, &suppressed));
	assert_false(log_limit_pass(&limit, &suppressed));
	limit.full_at_ms -= 1000; /* a second later */
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 2);
	assert_false(log_limit_pass(&limit, &suppressed));
	limit.full_at_ms -= 1000;
	assert_true(log_limit_pass(&limit, &suppressed));
	assert_int_equal(suppressed, 1);

	run_threads(hammer_limit);
	/* Each call counts once, as logged or as suppressed; a slow machine may log a second one. */
	assert_in_range(passed, 1, 5);
	shared_limit.full_at_ms -= 1000;
	assert_true(log_limit_pass(&shared_limit, &suppressed));
	if (passed == 1)
		assert_int_equal(suppressed, THREADS * LINES_A_THREAD - 1);
}

static void test_burst(void **state)
{
	struct log_limit limit = {0};
	unsigned long suppressed = 99;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(log_limit_burst(&limit, 100, 3600000, &suppressed));
	assert_false(log_limit_burst(&limit, 100, 3600000, &suppressed));
	assert_false(log_limit_burst(&limit, 100, 3600000, &suppressed));
	limit.full_at_ms -= 3600000; /* an hour later, there is one more */
	assert_true(log_limit_burst(&limit, 100, 3600000, &suppressed));
	assert_int_equal(suppressed, 2);
	assert_false(log_limit_burst(&limit, 100, 3600000, &suppressed));
}

/* Fills the reader's end, and checks that nothing waits, that nothing is glued together, and that the loss is told. */
static void log_to_stalled(int reader, int writer)
{
	static char text[4 << 20];
	int old = dup(STDERR_FILENO), lines = 0, flags = fcntl(writer, F_GETFL), last = -1;
	uint64_t lost = log_lines_lost(), begin, took;
	ssize_t length;
	char *rest = text, *line;

	assert_true(dup2(writer, STDERR_FILENO) == STDERR_FILENO);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_wait_for_reader(false);
	begin = monotonic_us();
	for (int i = 0; i < 20000; i++) /* more than fits */
		log_info("line %d of many, that are not read", i);
	took = monotonic_us() - begin; /* checked below: a failure is reported on the real stderr */
	lost = log_lines_lost() - lost;
	fcntl(reader, F_SETFL, O_NONBLOCK);
	length = read(reader, text, sizeof(text) - 1);
	log_info("now it reads");
	for (ssize_t more; (more = read(reader, text + length, sizeof(text) - 1 - (size_t)length)) > 0;)
		length += more;
	dup2(old, STDERR_FILENO);
	close(old);
	assert_in_range(took, 0, 10000 * US_PER_MS); /* on a busy machine; it does not wait at all */
	assert_in_range(lost, 1, 19999);
	assert_true(length > 0);
	assert_int_equal(fcntl(writer, F_GETFL), flags); /* they are shared with others */
	text[length] = '\0';
	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned long long told;
		int number, end = 0;

		assert_true(starts_with_time(line));
		if (sscanf(line + 24, " info line %d of many, that are not read%n", &number, &end) == 1 &&
		    !line[24 + end])
			assert_true(number > last), last = number;
		else if (sscanf(line + 24, " warn %llu lines of the log could not be written: its reader is too slow%n",
				&told, &end) == 1)
			assert_int_equal(told, lost);
		else
			assert_string_equal(line + 24, " info now it reads");
		lines++;
	}
	assert_int_equal((uint64_t)lines, 20000 - lost + 2);
	log_wait_for_reader(true);
}

static void test_pipe_that_stalls(void **state)
{
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	log_to_stalled(pipes[0], pipes[1]);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_socket_that_stalls(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	log_to_stalled(pair[0], pair[1]);
	close(pair[0]);
	close(pair[1]);
}

/* /proc hides the pipe: as for one of another user, which cannot be opened. */
static void test_pipe_that_cannot_be_opened(void **state)
{
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	if (geteuid() != 0)
		skip();
	assert_int_equal(fchown(pipes[1], 0, 0), 0);
	assert_int_equal(seteuid(65534), 0);
	log_to_stalled(pipes[0], pipes[1]);
	assert_int_equal(seteuid(0), 0);
	close(pipes[0]);
	close(pipes[1]);
}

/* While nobody is served, lines wait for a reader, but all of them together for a second. */
static void test_patience(void **state)
{
	int pipes[2], old = dup(STDERR_FILENO);
	uint64_t begin;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(dup2(pipes[1], STDERR_FILENO) == STDERR_FILENO);
	log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_wait_for_reader(true);
	begin = monotonic_us();
	for (int i = 0; i < 5000; i++)
		log_info("line %d of many, in a pipe that is not read", i);
	assert_in_range(monotonic_us() - begin, 1000 * US_PER_MS, 5000 * US_PER_MS);
	dup2(old, STDERR_FILENO);
	close(old);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_errno_kept),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_pipe_that_stalls),
		cmocka_unit_test(test_socket_that_stalls),
		cmocka_unit_test(test_pipe_that_cannot_be_opened),
		cmocka_unit_test(test_patience),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
