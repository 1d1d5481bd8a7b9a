// SPDX-License-Identifier: BSD-2-Clause
/* Datagrams to the service manager: at a path, at an abstract name, to none, and to one that does not read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/timer.h"
#include "system/notify.h"
#include "unit/capture.h"

/* A service manager at an abstract name; NOTIFY_SOCKET has it. */
static int open_manager(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[sizeof(address.sun_path)];

	snprintf(name, sizeof(name), "@alpnbpf-test-%d", getpid());
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

/* The next datagram; "" if there is none. */
static const char *next_of(int manager)
{
	static char message[1024];
	ssize_t got = recv(manager, message, sizeof(message) - 1, MSG_DONTWAIT);

	message[got < 0 ? 0 : got] = '\0';
	return message;
}

/* Until one has to wait. Returns how many were sent. */
static unsigned int fill(void)
{
	unsigned int sent = 0;

	for (; notify_fd() == NO_DESCRIPTOR; sent++)
		notify_service_manager("STATUS=full");
	return sent - 1;
}

static void test_paths(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/alpnbpf-test-XXXXXX";
	const char *line;
	int fd;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	capture_begin();
	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	notify_service_manager("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_service_manager("READY=1");
	assert_string_equal(capture_end(), "");

	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	notify_service_manager("READY=1\nSTATUS=listening");
	assert_string_equal(next_of(fd), "READY=1\nSTATUS=listening");
	close(fd);
	unlink(address.sun_path);

	/* The service manager is gone: one log line, and no failure. */
	capture_begin();
	notify_service_manager("READY=1");
	line = capture_end();
	assert_non_null(strstr(line, " warn cannot send \"READY=1\" to the service manager at "));
	assert_non_null(strstr(line, "No such file or directory"));

	/* It has come back, with a new socket. */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	notify_service_manager("READY=1");
	assert_string_equal(next_of(fd), "READY=1");
	notify_close();
	close(fd);
	unlink(address.sun_path);
	rmdir(directory);

	fd = open_manager();
	notify_service_manager("READY=1");
	assert_string_equal(next_of(fd), "READY=1");
	notify_close();
	close(fd);
}

/* Nothing waits for it; what it has missed comes in order, once it reads. */
static void test_a_manager_that_does_not_read(void **state)
{
	int manager = open_manager();
	uint64_t began = monotonic_us();
	const char *said;
	unsigned int sent;

	(void)state;
	capture_begin();
	log_init(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	notify_open();
	sent = fill();
	for (int i = 0; i < 100; i++)
		notify_service_manager("WATCHDOG=1");
	notify_service_manager("RELOADING=1");
	notify_service_manager("READY=1");
	notify_status("number %d", 1);
	notify_status("number %d", 2);
	notify_service_manager("WATCHDOG=1");
	notify_flush();
	assert_true(notify_fd() != NO_DESCRIPTOR);
	assert_true(monotonic_us() - began < 500 * US_PER_MS);
	said = capture_end();
	assert_non_null(strstr(said, " warn the service manager does not read its socket @alpnbpf-test-"));
	assert_null(strstr(said, "was not sent"));

	for (unsigned int i = 0; i < sent; i++)
		assert_string_equal(next_of(manager), "STATUS=full");
	assert_string_equal(next_of(manager), "");
	notify_flush();
	assert_int_equal(notify_fd(), NO_DESCRIPTOR);
	assert_string_equal(next_of(manager), "RELOADING=1");
	assert_string_equal(next_of(manager), "READY=1");
	assert_string_equal(next_of(manager), "STATUS=number 2");
	assert_string_equal(next_of(manager), "WATCHDOG=1");
	assert_string_equal(next_of(manager), "");
	notify_close();
	close(manager);
}

/* With all places taken, what tells least is given up first; a loss of the others is logged. */
static void test_all_places_taken(void **state)
{
	int manager = open_manager();
	char message[32];
	const char *said;

	(void)state;
	capture_begin();
	notify_open();
	fill(); /* leaves one that waits, a status */
	notify_service_manager("WATCHDOG=1");
	for (int i = 0; i < 9; i++) {
		snprintf(message, sizeof(message), "RELOADING=%d", i);
		notify_service_manager(message);
	}
	said = capture_end();
	assert_non_null(strstr(said, "\"RELOADING=0\" was not sent"));
	assert_null(strstr(said, "\"RELOADING=1\" was not sent"));
	assert_null(strstr(said, "WATCHDOG"));
	while (strcmp(next_of(manager), "STATUS=full") == 0)
		;
	notify_flush();
	for (int i = 1; i < 9; i++) {
		snprintf(message, sizeof(message), "RELOADING=%d", i);
		assert_string_equal(next_of(manager), message);
	}
	assert_string_equal(next_of(manager), "");

	/* At the end, what is lost is said. */
	fill();
	notify_service_manager("STOPPING=1");
	capture_begin();
	notify_close();
	said = capture_end();
	assert_non_null(strstr(said, "\"STOPPING=1\" was not sent"));
	close(manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_a_manager_that_does_not_read),
		cmocka_unit_test(test_all_places_taken),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
