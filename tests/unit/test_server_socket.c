/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding and removing what the kernel has of a connection: requests and sockets, of both families, on a device; never
 * a listener, and never another connection. With real connections, in a network namespace of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "steering/endpoint.h"
#include "steering/removal_proof.h"
#include "steering/server_socket.h"
#include "system/netlink.h"
#include "system/route.h"
#include "unit/private_network.h"

static int diag;
static bool is_private;

/* A listener and a connection to it. */
struct pair {
	int listener, client, server;
	struct steer_connection ends;
	uint32_t device;
};

/* "127.0.0.1" or "::1" */
static struct address address_of(const char *text)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return address_v4(ntohl(v4.s_addr), 0);
	assert_int_equal(inet_pton(AF_INET6, text, &v6), 1);
	return address_v6(&v6, 0);
}

static struct steer_endpoint end_of(int fd, bool remote)
{
	struct address address = {.len = sizeof(address.in6)};

	assert_int_equal(
		remote ? getpeername(fd, &address.sa, &address.len) : getsockname(fd, &address.sa, &address.len), 0);
	address = address_unmapped(&address);
	return steer_endpoint_from(&address);
}

static void open_listener(struct pair *pair, const struct address *at, bool defers, const char *device)
{
	int seconds = 5;

	*pair = (struct pair){.client = NO_DESCRIPTOR, .server = NO_DESCRIPTOR, .device = if_nametoindex("lo")};
	pair->listener = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(pair->listener >= 0);
	if (device)
		assert_int_equal(
			setsockopt(pair->listener, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)), 0);
	if (defers)
		setsockopt(pair->listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	assert_int_equal(bind(pair->listener, &at->sa, at->len), 0);
	assert_int_equal(listen(pair->listener, 8), 0);
}

static void connect_to(struct pair *pair, const struct address *host)
{
	struct address to = *host;

	pair->client = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to.in.sin_port = htons(end_of(pair->listener, false).port); /* at the same place in both families */
	/* The kernel may still be busy with an address that was added just now. */
	for (int i = 0; connect(pair->client, &to.sa, to.len); i++) {
		assert_true(errno == EADDRNOTAVAIL || errno == ENETUNREACH);
		assert_true(i < 5000);
		poll(NULL, 0, 1);
	}
	pair->ends = (struct steer_connection){.from = end_of(pair->client, false), .to = end_of(pair->client, true)};
}

static void begin(struct pair *pair, const char *host, bool defers)
{
	struct address at = address_of(host);

	open_listener(pair, &at, defers, NULL);
	connect_to(pair, &at);
	if (!defers)
		pair->server = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC);
}

static void end(struct pair *pair)
{
	descriptor_close(&pair->listener);
	descriptor_close(&pair->client);
	descriptor_close(&pair->server);
}

static int find(const struct pair *pair, struct server_socket *found)
{
	return server_socket_find(diag, &pair->ends, pair->device, found);
}

/* Has the client heard of anything? */
static bool is_undisturbed(const struct pair *pair)
{
	struct pollfd wait = {.fd = pair->client, .events = POLLIN};

	return poll(&wait, 1, 0) == 0;
}

static void assert_accepts(struct pair *pair, const struct address *host)
{
	char byte;

	descriptor_close(&pair->client);
	connect_to(pair, host);
	assert_int_equal(send(pair->client, "x", 1, 0), 1);
	pair->server = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair->server >= 0);
	assert_int_equal(recv(pair->server, &byte, 1, 0), 1);
}

static const char *const hosts[] = {"127.0.0.1", "::1"};

static void test_request(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct address host = address_of(hosts[i]);
		struct server_socket found;
		struct pair pair;

		begin(&pair, hosts[i], true);
		assert_int_equal(find(&pair, &found), 0);
		assert_true(found.is_request);
		assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
		assert_int_equal(find(&pair, &found), -ENOENT);
		assert_true(is_undisturbed(&pair));
		/* A second time, there is only the listener to be found. */
		assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
		assert_accepts(&pair, &host);
		end(&pair);
	}
}

static void test_socket(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct server_socket found;
		struct pair pair;
		char byte;

		begin(&pair, hosts[i], false);
		assert_int_equal(find(&pair, &found), 0);
		assert_false(found.is_request);
		assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
		assert_int_equal(recv(pair.server, &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, ECONNABORTED);
		/* Nothing holds back its reset here. */
		assert_int_equal(recv(pair.client, &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, ECONNRESET);
		end(&pair);
	}
}

static void test_mapped(void **state)
{
	struct address all = address_of("::"), host = address_of("127.0.0.1");
	struct server_socket found;
	struct pair pair;

	(void)state;
	open_listener(&pair, &all, true, NULL); /* for both families, unless net.ipv6.bindv6only is set */
	connect_to(&pair, &host);
	assert_int_equal(find(&pair, &found), 0);
	assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
	assert_int_equal(find(&pair, &found), -ENOENT);
	end(&pair);
}

/* Removed with an old cookie, or once it is gone: nothing else is hurt. */
static void test_another(void **state)
{
	struct linger reset = {.l_onoff = 1};
	struct address host = address_of(hosts[0]);
	struct server_socket found, other;
	struct pair pair;

	(void)state;
	begin(&pair, hosts[0], false);
	assert_int_equal(find(&pair, &found), 0);
	other = found;
	other.cookie++;
	assert_int_equal(server_socket_destroy(diag, &pair.ends, pair.device, &other), -ENOENT);
	other.cookie = UINT64_MAX; /* any */
	assert_int_equal(server_socket_destroy(diag, &pair.ends, pair.device, &other), -ENOENT);
	assert_true(is_undisturbed(&pair));

	setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	descriptor_close(&pair.client);
	descriptor_close(&pair.server);
	/* What is found now is the listener, whose cookie is another. */
	assert_int_equal(server_socket_destroy(diag, &pair.ends, pair.device, &found), -ENOENT);
	assert_int_equal(find(&pair, &found), -ENOENT);
	assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
	assert_accepts(&pair, &host);
	end(&pair);
}

static int add_to_loopback(const char *text)
{
	struct {
		struct nlmsghdr header;
		struct ifaddrmsg address;
		char attributes[64];
	} message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.address)),
			   .nlmsg_type = RTM_NEWADDR,
			   .nlmsg_flags = NLM_F_ACK | NLM_F_CREATE},
		.address = {.ifa_family = AF_INET6,
			    .ifa_prefixlen = 64,
			    .ifa_flags = IFA_F_NODAD,
			    .ifa_scope = RT_SCOPE_LINK,
			    .ifa_index = if_nametoindex("lo")},
	};
	struct address address = address_of(text);
	int fd = netlink_open(NETLINK_ROUTE), error;

	netlink_add(&message.header, IFA_LOCAL, &address.in6.sin6_addr, sizeof(address.in6.sin6_addr));
	error = netlink_ask(fd, &message.header, NULL, NULL);
	close(fd);
	return error;
}

static void test_device(void **state)
{
	struct address host = address_of(hosts[0]), link_local = address_of("fe80::17");
	struct server_socket found;
	struct pair pair;

	(void)state;
	if (!is_private)
		skip();
	open_listener(&pair, &host, true, "lo");
	connect_to(&pair, &host);
	assert_int_equal(server_socket_find(diag, &pair.ends, 0, &found), -ENOENT);
	assert_int_equal(server_socket_find(diag, &pair.ends, pair.device + 1, &found), -ENOENT);
	assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
	assert_int_equal(find(&pair, &found), -ENOENT);
	end(&pair);

	assert_int_equal(add_to_loopback("fe80::17"), 0);
	link_local.in6.sin6_scope_id = if_nametoindex("lo");
	open_listener(&pair, &link_local, true, NULL);
	connect_to(&pair, &link_local);
	assert_int_equal(find(&pair, &found), 0);
	assert_int_equal(server_socket_remove(diag, &pair.ends, pair.device), 0);
	assert_int_equal(find(&pair, &found), -ENOENT);
	assert_true(is_undisturbed(&pair));
	end(&pair);
}

static void test_route(void **state)
{
	static const struct {
		const char *address;
		int is_local;
	} cases[] = {{"127.0.0.1", 1}, {"127.9.9.9", 1}, {"::1", 1}, {"192.0.2.1", 0}, {"2001:db8::1", 0}};
	int fd = netlink_open(NETLINK_ROUTE);

	(void)state;
	if (!is_private)
		skip();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address address = address_of(cases[i].address);

		assert_int_equal(route_is_local(fd, &address), cases[i].is_local);
	}
	close(fd);
}

/* In a process of its own, which `prepare` deprives of something. */
static int prove_without(bool (*prepare)(void), const char *reason)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		struct sentence why = {0};
		int error = -ENOTSUP;

		if (prepare())
			error = removal_prove(server_socket_open(), AF_INET, &why);
		if (!strstr(why.text, reason))
			fprintf(stderr, "%d: \"%s\" instead of \"%s\"\n", error, why.text, reason);
		_exit(strstr(why.text, reason) ? -error : ENOTSUP);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static bool without_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capset, &header, none) == 0;
}

static bool without_loopback(void)
{
	return unshare(CLONE_NEWNET) == 0; /* it is down in a new one */
}

static void test_proof(void **state)
{
	struct sentence why;

	(void)state;
	if (!is_private)
		skip();
	assert_int_equal(removal_prove(diag, AF_INET, &why), 0);
	assert_int_equal(removal_prove(diag, AF_INET6, &why), 0);
	assert_int_equal(
		prove_without(without_capabilities, "SOCK_DESTROY: Operation not permitted (missing CAP_NET_ADMIN)"),
		-EPERM);
	assert_int_equal(prove_without(without_loopback, "SOCK_DESTROY could not be tried"), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request), cmocka_unit_test(test_socket), cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_another), cmocka_unit_test(test_device), cmocka_unit_test(test_route),
		cmocka_unit_test(test_proof),
	};

	is_private = enter_private_network();
	diag = server_socket_open();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
