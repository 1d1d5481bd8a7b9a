// SPDX-License-Identifier: BSD-2-Clause
/* Datagrams to the service manager: at a path, at an abstract name, or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "system/notify.h"
#include "unit/capture.h"

static void notify_through(struct sockaddr_un *address, socklen_t length, const char *variable)
{
	char message[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t got;

	assert_int_equal(bind(fd, (struct sockaddr *)address, length), 0);
	setenv("NOTIFY_SOCKET", variable, 1);
	notify_service_manager("READY=1\nSTATUS=listening");
	got = recv(fd, message, sizeof(message), MSG_DONTWAIT);
	assert_int_equal(got, 24);
	assert_memory_equal(message, "READY=1\nSTATUS=listening", 24);
	close(fd);
}

static void test_notify(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/alpnbpf-test-XXXXXX", name[sizeof(address.sun_path)];
	const char *line;

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
	notify_through(&address, sizeof(address), address.sun_path);
	unlink(address.sun_path);
	rmdir(directory);

	/* The service manager is gone: one log line, and no failure. */
	capture_begin();
	notify_service_manager("READY=1");
	line = capture_end();
	assert_non_null(strstr(line, " warn cannot send \"READY=1\" to the service manager at "));
	assert_non_null(strstr(line, "No such file or directory"));

	snprintf(name, sizeof(name), "@alpnbpf-test-%d", getpid());
	memset(address.sun_path, 0, sizeof(address.sun_path));
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	notify_through(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)), name);
	unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_notify)};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
