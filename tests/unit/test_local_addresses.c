/* SPDX-License-Identifier: BSD-2-Clause */
/* This machine's addresses, as they come and go in a network namespace of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "private_network.h"
#include "system/local_addresses.h"
#include "system/netlink.h"

static bool is_private;
static struct local_watch watch = LOCAL_WATCH_CLOSED;
static struct local_addresses *addresses;

static struct address address_of(const char *text)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET6, text, &v6) == 1)
		return address_v6(&v6, 443);
	return address_v4(ntohl(inet_addr(text)), 443);
}

static int has(const char *text)
{
	struct address address = address_of(text);

	return local_addresses_has(addresses, &address);
}

static int set_up(void **state)
{
	struct sentence why = {0};

	(void)state;
	addresses = calloc(1, sizeof(*addresses));
	assert_non_null(addresses);
	if (local_addresses_open(&watch, addresses, &why))
		fail_msg("%s", why.text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	local_addresses_close(&watch);
	free(addresses);
	return 0;
}

struct route_message {
	struct nlmsghdr header;
	struct rtmsg route;
	char attributes[64];
};

static int change_route(unsigned short type, unsigned char table, const char *text, unsigned char bits)
{
	struct address to = address_of(text);
	bool v4 = to.sa.sa_family == AF_INET;
	struct route_message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.route)),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_ACK | NLM_F_CREATE},
		.route = {.rtm_family = (unsigned char)to.sa.sa_family,
			  .rtm_dst_len = bits,
			  .rtm_table = table,
			  .rtm_protocol = RTPROT_STATIC,
			  .rtm_scope = RT_SCOPE_HOST,
			  .rtm_type = RTN_LOCAL},
	};
	uint32_t lo = if_nametoindex("lo");
	int fd = netlink_open(NETLINK_ROUTE), error;

	netlink_add(&message.header, RTA_DST, v4 ? (void *)&to.in.sin_addr : (void *)&to.in6.sin6_addr, v4 ? 4 : 16);
	netlink_add(&message.header, RTA_OIF, &lo, sizeof(lo));
	error = netlink_ask(fd, &message.header, NULL, NULL);
	close(fd);
	return error;
}

/* Does what the main loop does, until the list says so. */
static void expect_soon(const char *text, int expected)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < 1000 && has(text) != expected; i++) {
		local_addresses_follow(&watch);
		nanosleep(&pause, NULL);
	}
	assert_int_equal(has(text), expected);
}

static void test_what_is_local(void **state)
{
	static const struct {
		const char *address;
		int is_local;
	} cases[] = {{"127.0.0.1", 1},   {"127.9.9.9", 1},        {"::1", 1},
		     {"192.0.2.1", 0},   {"255.255.255.255", 0},  {"::2", 0},
		     {"2001:db8::1", 0}, {"::ffff:127.0.0.1", 1}, {"::ffff:192.0.2.1", 0}};

	(void)state;
	if (!is_private)
		skip();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(has(cases[i].address), cases[i].is_local);
}

static void test_addresses_come_and_go(void **state)
{
	(void)state;
	if (!is_private)
		skip();
	assert_int_equal(change_route(RTM_NEWROUTE, RT_TABLE_LOCAL, "192.0.2.0", 25), 0);
	assert_int_equal(change_route(RTM_NEWROUTE, RT_TABLE_LOCAL, "2001:db8:1::", 72), 0);
	expect_soon("192.0.2.1", 1);
	expect_soon("2001:db8:1::ff", 1);
	assert_int_equal(has("192.0.2.128"), 0);
	assert_int_equal(has("2001:db8:1:0:100::"), 0);
	assert_int_equal(change_route(RTM_DELROUTE, RT_TABLE_LOCAL, "192.0.2.0", 25), 0);
	expect_soon("192.0.2.1", 0);
	assert_int_equal(has("2001:db8:1::ff"), 1);
	assert_int_equal(change_route(RTM_DELROUTE, RT_TABLE_LOCAL, "2001:db8:1::", 72), 0);
	expect_soon("2001:db8:1::ff", 0);
}

/* As TPROXY and --client-address transparent have it: only some packets are looked up there. */
static void test_another_table(void **state)
{
	(void)state;
	if (!is_private)
		skip();
	assert_int_equal(change_route(RTM_NEWROUTE, 100, "0.0.0.0", 0), 0);
	assert_int_equal(change_route(RTM_NEWROUTE, RT_TABLE_LOCAL, "198.51.100.7", 32), 0);
	expect_soon("198.51.100.7", 1);
	assert_int_equal(has("192.0.2.1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_local, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_addresses_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_table, set_up, tear_down),
	};

	is_private = enter_private_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
