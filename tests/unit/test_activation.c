// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sockets from a service manager: accepted, refused with which message, and compared with --listen. activation_get()
 * remembers its result, so each case has a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/activation.h"
#include "unit/private_network.h"

#define FIRST 3

static struct sentence why;

/* Exits with 0, or with the line of the check that failed. */
#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s: \"%s\"\n", __FILE__, __LINE__, #condition, why.text);              \
			_Exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static void in_child(void (*body)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		body();
		_Exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void give(const char *fds, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", fds, 1);
}

/* A listener as descriptor `fd`: on 127.0.0.1, on ::1, or, dual, on [::] for both families. */
static struct address put_listener(int fd, sa_family_t family, bool dual)
{
	struct address at = {.len = family == AF_INET ? sizeof(at.in) : sizeof(at.in6)};
	int made = socket(family, SOCK_STREAM, 0), only6 = !dual;

	at.sa.sa_family = family;
	if (family == AF_INET)
		at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (!dual)
		at.in6.sin6_addr = in6addr_loopback;
	if (family == AF_INET6)
		EXPECT(setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6)) == 0);
	EXPECT(bind(made, &at.sa, at.len) == 0 && listen(made, 1) == 0);
	EXPECT(getsockname(made, &at.sa, &at.len) == 0);
	EXPECT(made == fd || (dup2(made, fd) == fd && close(made) == 0));
	return at;
}

static void taken(void)
{
	struct address at = put_listener(FIRST, AF_INET, false), listeners[4];
	const struct activation *activation;
	unsigned int count = 0;

	give("1", getpid());
	activation = activation_get(&why);
	EXPECT(activation && activation->count == 1 && activation->sockets[0].fd == FIRST);
	EXPECT(address_equal(&activation->sockets[0].address, &at) && !activation->sockets[0].dual_stack);
	EXPECT(fcntl(FIRST, F_GETFD) == FD_CLOEXEC && fcntl(FIRST, F_GETFL) & O_NONBLOCK);
	EXPECT(activation_get(&why) == activation);
	/* Without --listen the socket is the listener. */
	EXPECT(activation_replace(activation, listeners, &count, &why));
	EXPECT(count == 1 && address_equal(&listeners[0], &at));
	/* --listen has the same address. */
	EXPECT(activation_replace(activation, listeners, &count, &why) && count == 1);
	/* --listen has another address. */
	listeners[0].in.sin_port = (in_port_t)~listeners[0].in.sin_port;
	EXPECT(!activation_replace(activation, listeners, &count, &why));
	EXPECT(strstr(why.text, "none of them listens on 127.0.0.1:"));
}

static void dual(void)
{
	struct address at = put_listener(FIRST, AF_INET6, true), listeners[4];
	const struct activation *activation;
	unsigned int count = 0;

	give("1", getpid());
	activation = activation_get(&why);
	EXPECT(activation && activation->count == 1 && activation->sockets[0].dual_stack);
	EXPECT(activation_replace(activation, listeners, &count, &why));
	EXPECT(count == 2 && address_equal(&listeners[0], &at) && listeners[1].sa.sa_family == AF_INET);
	EXPECT(address_is_wildcard(&listeners[1]) && address_port(&listeners[1]) == address_port(&at));
	/* --listen has one of the two families only. */
	count = 1;
	EXPECT(!activation_replace(activation, listeners, &count, &why));
	EXPECT(strstr(why.text, "listens on 0.0.0.0:") && strstr(why.text, "--listen does not name"));
}

static void not_for_us(void)
{
	put_listener(FIRST, AF_INET, false);
	give("1", getppid());
	EXPECT(activation_get(&why) && activation_get(&why)->count == 0);
	EXPECT(fcntl(FIRST, F_GETFD) == 0);
}

static void no_number(void)
{
	give("one", getpid());
	EXPECT(activation_get(&why) && activation_get(&why)->count == 0);
}

static void none(void)
{
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	EXPECT(activation_get(&why) && activation_get(&why)->count == 0);
}

static void too_many(void)
{
	give("33", getpid());
	EXPECT(!activation_get(&why) && strstr(why.text, "33 sockets are too many; the limit is 32"));
}

static void refused(int fd, const char *says)
{
	EXPECT(fd == FIRST || dup2(fd, FIRST) == FIRST);
	give("1", getpid());
	EXPECT(!activation_get(&why));
	EXPECT(strstr(why.text, "LISTEN_FDS: cannot use descriptor 3: ") && strstr(why.text, says));
}

static void no_socket(void)
{
	refused(open("/dev/null", O_RDONLY), "not a socket");
}

static void datagrams(void)
{
	refused(socket(AF_INET, SOCK_DGRAM, 0), "not a stream socket");
}

static void unix_socket(void)
{
	refused(socket(AF_UNIX, SOCK_STREAM, 0), "neither IPv4 nor IPv6");
}

static void not_listening(void)
{
	refused(socket(AF_INET, SOCK_STREAM, 0), "not listening");
}

#define CHILD(body)                                                                                                    \
	static void test_##body(void **state)                                                                          \
	{                                                                                                              \
		(void)state;                                                                                           \
		in_child(body);                                                                                        \
	}

CHILD(taken)
CHILD(dual)
CHILD(not_for_us)
CHILD(no_number)
CHILD(none)
CHILD(too_many)
CHILD(no_socket)
CHILD(datagrams)
CHILD(unix_socket)
CHILD(not_listening)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),       cmocka_unit_test(test_dual),
		cmocka_unit_test(test_not_for_us),  cmocka_unit_test(test_no_number),
		cmocka_unit_test(test_none),        cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_no_socket),   cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_unix_socket), cmocka_unit_test(test_not_listening),
	};

	if (!enter_private_network())
		print_message("[  SKIPPED ] a network namespace of its own: others may take its ports\n");
	return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
