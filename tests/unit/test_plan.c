/* SPDX-License-Identifier: BSD-2-Clause */
/* The plan that the options give, before anything is loaded; its messages, and what a reload may change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "steering/endpoint.h"
#include "steering/mode.h"
#include "steering/plan.h"
#include "steering/reload.h"
#include "steering/steer.h"

/* The options of a command line; unused words are NULL. */
static struct options parse(const char *https, const char *first, const char *second, const char *third)
{
	struct options options;
	struct sentence why;
	char *argv[] = {"attach",      "--acme",       "10443",       "--https", (char *)https,
			(char *)first, (char *)second, (char *)third, NULL};
	int argc = 5;

	while (argv[argc])
		argc++;
	if (options_parse(&options, argc, argv, &why) != OPTIONS_OK)
		fail_msg("%s", why.text);
	return options;
}

static struct steer_plan plan_of(const char *https, const char *first, const char *second)
{
	struct options options = parse(https, first, second, NULL);

	return plan_make(&options, 2, 100);
}

static void test_plans(void **state)
{
	struct steer_plan plan;

	(void)state;
	plan = plan_of("443", NULL, NULL);
	assert_true(plan.in_place && !plan.bypass && plan.peername && !plan.transparent && !plan.why_always);
	assert_int_equal(plan.acme_port, 10443);
	assert_int_equal(plan.https_port, 443);
	assert_int_equal(plan.workers, 2);
	assert_int_equal(plan.max_sessions, 100);
	plan = plan_of("8443", NULL, NULL);
	assert_true(!plan.in_place && plan.bypass && plan.peername);
	plan = plan_of("8443", "--no-bypass", NULL);
	assert_true(!plan.in_place && !plan.bypass && !plan.peername && plan_is_empty(&plan));
	plan = plan_of("8443", "--proxy-protocol", "https=v2");
	assert_true(plan_is_empty(&plan));
	plan = plan_of("192.0.2.1:8443", NULL, NULL);
	assert_true(plan_is_empty(&plan));
	plan = plan_of("443", "--client-address", "none");
	assert_true(plan.in_place && !plan.peername);
	plan = plan_of("127.0.0.1:8443", "--client-address", "transparent");
	assert_true(plan.bypass && plan.transparent && !plan.peername);
	/* one address in place, another with a bypass */
	plan = plan_of("127.0.0.1:443", "--listen=127.0.0.1:443", "--listen=127.0.0.2:443");
	assert_true(plan.in_place && plan.bypass);
}

static void check_always(const char *option, const char *value, const char *part)
{
	struct options options = parse("443", option, value, NULL);
	const char *why = plan_why_always(&options);

	assert_non_null(why);
	assert_non_null(strstr(why, part));
}

static void test_armed_always(void **state)
{
	struct options options = parse("443", NULL, NULL, NULL);
	struct sentence why;

	(void)state;
	assert_null(plan_why_always(&options));
	check_always("--arm", "always", "--arm always");
	check_always("--route", "sni=a -> 9443", "--route");
	assert_true(endpoint_parse(&options.backends[ROUTE_ACME], "unix:/run/acme", &why));
	assert_non_null(plan_why_always(&options));
	assert_int_equal(plan_acme_port(&options), 0);
}

static void check_no_watch(const char *https, const char *option, const char *value, const char *part)
{
	struct options options = parse(https, option, value, NULL);
	const char *why = plan_why_no_watch(&options);

	if (!part)
		assert_null(why);
	else
		assert_non_null(strstr(why, part));
}

static void test_what_cannot_be_watched(void **state)
{
	(void)state;
	check_no_watch("443", NULL, NULL, NULL);
	check_no_watch("8443", NULL, NULL, NULL);
	check_no_watch("443", "--inspect", "steer", "--inspect steer");
	check_no_watch("443", "--route", "sni=a -> 9443", "--route");
	check_no_watch("8443", "--no-bypass", NULL, "no connection goes directly");
	check_no_watch("8443", "--proxy-protocol", "https=v1", "PROXY");
}

/* --- messages --- */

static void check_mode(const char *https, const char *first, const char *second, bool loaded, const char *expected)
{
	struct options options = parse(https, first, second, NULL);
	struct steer_state state = {0};
	struct steer steer;
	char mode[STEER_MODE_MAX];

	steer_clear(&steer);
	steer.plan = plan_make(&options, 1, 1);
	if (loaded)
		steer.maps.state = &state;
	assert_string_equal(steer_mode(&steer, mode, sizeof(mode)), expected);
}

static void test_modes(void **state)
{
	(void)state;
	check_mode("443", NULL, NULL, true,
		   "in place, armed while port 10443 has a listener, clients shown by peername");
	check_mode("443", "--arm", "always", true, "in place, armed always (--arm always), clients shown by peername");
	check_mode("8443", "--no-bypass", NULL, false, "front");
	check_mode("127.0.0.1:8443", "--client-address", "transparent", true,
		   "with bypass, armed while port 10443 has a listener, clients shown by transparent connections");
}

/* --- reloads --- */

static void check_change(const struct options *old, const struct options *new, bool peername, const char *part)
{
	struct steer_state state = {0};
	struct sentence why = {0};
	struct steer steer;

	steer_clear(&steer);
	steer.maps.state = &state;
	steer.plan.peername = peername;
	if (!part) {
		assert_true(steer_can_change(&steer, old, new, &why));
		return;
	}
	assert_false(steer_can_change(&steer, old, new, &why));
	assert_non_null(strstr(why.text, part));
}

static void test_what_a_reload_may_change(void **state)
{
	struct options in_place = parse("443", NULL, NULL, NULL), front = parse("8443", NULL, NULL, NULL);
	struct options other = parse("9443", NULL, NULL, NULL), far = parse("192.0.2.1:8443", NULL, NULL, NULL);
	struct options always = parse("8443", "--arm", "always", NULL),
		       plain = parse("8443", "--no-bypass", NULL, NULL);
	struct options plain_always = parse("8443", "--no-bypass", "--arm", "always");
	struct options two = parse("127.0.0.1:443", "--listen=127.0.0.1:443", "--listen=127.0.0.2:443", NULL);
	struct options one = parse("127.0.0.1:443", "--listen=127.0.0.1:443", NULL, NULL);

	(void)state;
	check_change(&front, &front, true, NULL);
	check_change(&front, &other, true, NULL);
	check_change(&in_place, &front, true, "in place");
	check_change(&front, &in_place, true, "in place");
	check_change(&two, &one, true, "bypassed");
	check_change(&front, &plain, true, "bypassed");
	check_change(&front, &always, true, "bypassed");
	check_change(&plain, &plain_always, false, "armed always");
	check_change(&plain, &far, true, "on this machine");
	check_change(&plain, &far, false, NULL);
}

/* --- addresses --- */

static void test_endpoints(void **state)
{
	static const char *const texts[] = {"192.0.2.1:443", "[2001:db8::1]:65535", "[::ffff:192.0.2.1]:443"};
	struct steer_endpoint endpoint;
	struct address addresses[2], back;
	struct sentence why;
	unsigned int count;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(listen_parse(addresses, &count, texts[i], &why));
		endpoint = steer_endpoint_from(&addresses[0]);
		back = steer_endpoint_address(&endpoint, 7);
		assert_true(address_equal(&addresses[0], &back));
		assert_int_equal(steer_family_of(&addresses[0]), i == 1 ? STEER_V6 : STEER_V4);
	}
	/* a link-local address gets its scope back */
	assert_true(listen_parse(addresses, &count, "[fe80::1]:443", &why));
	endpoint = steer_endpoint_from(&addresses[0]);
	back = steer_endpoint_address(&endpoint, 7);
	assert_int_equal(back.in6.sin6_scope_id, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_armed_always),
		cmocka_unit_test(test_what_cannot_be_watched),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_what_a_reload_may_change),
		cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
