// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ports and their listeners: those of this process are found in both ways (sock_diag and /proc) and named; free ports
 * are free; a port in use is reported with its remedy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/listening.h"
#include "system/ports.h"
#include "system/process.h"
#include "unit/private_network.h"

static struct sentence why;

static struct address loopback(sa_family_t family, unsigned int port)
{
	struct address address = {.len = family == AF_INET ? sizeof(address.in) : sizeof(address.in6)};

	address.sa.sa_family = family;
	if (family == AF_INET) {
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.in.sin_port = htons((uint16_t)port);
	} else {
		address.in6.sin6_addr = in6addr_loopback;
		address.in6.sin6_port = htons((uint16_t)port);
	}
	return address;
}

/* A listener on a free port, which is stored in `address`; -1: this machine does not have the family. */
static int listen_at(struct address *address)
{
	int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	if (address->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &address->sa, address->len) || listen(fd, 1) || getsockname(fd, &address->sa, &address->len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static const char *our_name(void)
{
	static char name[PROCESS_TEXT_MAX];

	return process_name((unsigned int)getpid(), name, sizeof(name));
}

static void test_holder(void **state)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	char holder[PROCESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct address at = loopback(families[i], 0);
		int fd = listen_at(&at);

		if (fd < 0) {
			print_message("[  SKIPPED ] no listener of family %d\n", families[i]);
			continue;
		}
		assert_true(port_is_taken(&at));
		assert_true(port_find_holder(&at, holder, sizeof(holder)));
		assert_string_equal(holder, our_name());
		assert_int_equal(port_try_bind(&at, &why), -EADDRINUSE);
		assert_non_null(strstr(why.text, our_name()));
		assert_int_equal(port_try_connect(&at, 1000), 0);
		close(fd);
		assert_false(port_is_taken(&at));
		assert_false(port_find_holder(&at, holder, sizeof(holder)));
		assert_string_equal(holder, "a process of another user or namespace");
		assert_int_equal(port_try_bind(&at, &why), 0);
		assert_int_equal(port_try_connect(&at, 1000), -ECONNREFUSED);
	}
}

/* Whether a listener at one address prevents one at another. */
static void test_in_the_way(void **state)
{
	struct address at = loopback(AF_INET, 0), other, wildcard, six;
	int fd = listen_at(&at);

	(void)state;
	assert_true(fd >= 0);
	other = wildcard = at;
	other.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	wildcard.in.sin_addr.s_addr = htonl(INADDR_ANY);
	six = loopback(AF_INET6, address_port(&at));
	assert_false(port_is_taken(&other));
	assert_true(port_is_taken(&wildcard));
	assert_false(port_is_taken(&six));
	close(fd);
}

/* A listener on [::] without V6ONLY prevents both. */
static void test_dual_stack(void **state)
{
	struct address at = {.len = sizeof(at.in6), .in6.sin6_family = AF_INET6}, four;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	struct listening found[4];

	(void)state;
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) || bind(fd, &at.sa, at.len) ||
	    listen(fd, 1) || getsockname(fd, &at.sa, &at.len))
		skip();
	four = loopback(AF_INET, address_port(&at));
	assert_true(port_is_taken(&four));
	assert_int_equal(listening_on(address_port(&at), found, 4), 1);
	assert_true(address_equal(&found[0].address, &at));
	if (found[0].cookie) /* only sock_diag reports V6ONLY, not /proc */
		assert_true(found[0].dual_stack);
	close(fd);
}

static void test_listening(void **state)
{
	struct address first = loopback(AF_INET, 0), second;
	struct listening found[4];
	socklen_t length = sizeof(uint64_t);
	uint64_t cookie = 0;
	int fds[2];

	(void)state;
	fds[0] = listen_at(&first);
	assert_true(fds[0] >= 0);
	second = first;
	second.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	fds[1] = listen_at(&second);
	assert_true(fds[1] >= 0);
	assert_int_equal(listening_on(address_port(&first), found, 4), 2);
	assert_true(address_equal(&found[0].address, &first) || address_equal(&found[1].address, &first));
	assert_true(address_equal(&found[0].address, &second) || address_equal(&found[1].address, &second));
	/* More than fit: counted, not stored. */
	memset(found, 0xff, sizeof(found));
	assert_int_equal(listening_on(address_port(&first), found, 1), 2);
	assert_int_equal(found[1].address.len, UINT32_MAX);
	close(fds[1]);
	assert_int_equal(listening_on(address_port(&first), found, 4), 1);
	assert_false(found[0].dual_stack);
	if (found[0].cookie) {
		getsockopt(fds[0], SOL_SOCKET, SO_COOKIE, &cookie, &length);
		assert_int_equal(found[0].cookie, cookie);
		assert_int_equal(found[0].uid, geteuid());
	}
	close(fds[0]);
	assert_int_equal(listening_on(address_port(&first), found, 4), 0);
}

static void test_errors(void **state)
{
	struct address at = loopback(AF_INET, 443), six = loopback(AF_INET6, 443);

	(void)state;
	assert_int_equal(port_explain(&at, -EACCES, &why), -EACCES);
	assert_non_null(strstr(why.text, "port 443 needs CAP_NET_BIND_SERVICE"));
	port_explain(&at, -EADDRNOTAVAIL, &why);
	assert_string_equal(why.text, "the address is not assigned to this machine");
	port_explain(&at, -EAFNOSUPPORT, &why);
	assert_string_equal(why.text, "this machine has no IPv4");
	port_explain(&six, -EAFNOSUPPORT, &why);
	assert_string_equal(why.text, "this machine has no IPv6");
	port_explain(&at, -ENOBUFS, &why);
	assert_string_equal(why.text, strerror(ENOBUFS));
	at.in.sin_addr.s_addr = htonl(0xc0000221); /* 192.0.2.33 */
	at.in.sin_port = 0;
	assert_int_equal(port_try_bind(&at, &why), -EADDRNOTAVAIL);
}

/* TCP connects a socket to itself when it connects to its own port. */
static void test_connected_to_itself(void **state)
{
	struct address at = loopback(AF_INET, 0), peer;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), listener, client;

	(void)state;
	assert_int_equal(bind(fd, &at.sa, at.len), 0);
	assert_int_equal(getsockname(fd, &at.sa, &at.len), 0);
	assert_int_equal(connect(fd, &at.sa, at.len), 0);
	assert_true(port_connected_to_itself(fd, &at));
	close(fd);

	peer = loopback(AF_INET, 0);
	listener = listen_at(&peer);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &peer.sa, peer.len), 0);
	assert_false(port_connected_to_itself(client, &peer));
	close(client);
	close(listener);
}

static void test_process(void **state)
{
	unsigned long none = 0;
	char name[PROCESS_TEXT_MAX];

	(void)state;
	assert_non_null(strstr(our_name(), "test_ports (pid "));
	/* No process has this PID: pid_max is at most 2^22. */
	assert_string_equal(process_name(1U << 30, name, sizeof(name)), "a process (pid 1073741824)");
	assert_false(process_find_holder(&none, 0, name, sizeof(name)));
	assert_false(process_find_holder(&none, 1, name, sizeof(name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holder),     cmocka_unit_test(test_in_the_way),
		cmocka_unit_test(test_dual_stack), cmocka_unit_test(test_listening),
		cmocka_unit_test(test_errors),     cmocka_unit_test(test_connected_to_itself),
		cmocka_unit_test(test_process),
	};

	if (!enter_private_network())
		print_message("[  SKIPPED ] a network namespace of its own: others may take its ports\n");
	return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
