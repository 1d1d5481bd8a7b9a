// SPDX-License-Identifier: BSD-2-Clause
/* Requests to the control socket: every command with its words, and the messages for others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "operate/control_request.h"

static void check_request(const char *line, struct control_request expected)
{
	struct control_request request;
	struct sentence why = {0};

	assert_true(control_request_parse(&request, line, &why));
	assert_int_equal(request.command, expected.command);
	assert_int_equal(request.json, expected.json);
	assert_int_equal(request.now, expected.now);
	assert_int_equal(request.route, expected.route);
	assert_string_equal(why.text, "");
}

static void test_commands(void **state)
{
	(void)state;
	check_request("status text", (struct control_request){.command = CONTROL_STATUS});
	check_request("status json", (struct control_request){.command = CONTROL_STATUS, .json = true});
	check_request("sessions text", (struct control_request){.command = CONTROL_SESSIONS});
	check_request("sessions   json", (struct control_request){.command = CONTROL_SESSIONS, .json = true});
	check_request("ready", (struct control_request){.command = CONTROL_READY});
	check_request("ready ", (struct control_request){.command = CONTROL_READY});
	check_request("reload", (struct control_request){.command = CONTROL_RELOAD});
	check_request("detach", (struct control_request){.command = CONTROL_DETACH});
	check_request("detach now", (struct control_request){.command = CONTROL_DETACH, .now = true});
	check_request("trace text", (struct control_request){.command = CONTROL_TRACE});
	check_request("trace json acme",
		      (struct control_request){.command = CONTROL_TRACE, .json = true, .route = ROUTE_ACME});
	check_request("trace text route-32",
		      (struct control_request){.command = CONTROL_TRACE, .route = ROUTE_RULE + 31});
}

static void check_refused(const char *line, const char *sentence)
{
	struct control_request request;
	struct sentence why = {0};

	assert_false(control_request_parse(&request, line, &why));
	assert_string_equal(why.text, sentence);
}

static void test_refused(void **state)
{
	static const char unknown[] = "unknown command; known commands: status, sessions, ready, trace, reload, detach";
	static const char format[] = "expected \"text\" or \"json\"";
	static const char trace[] = "expected \"text\" or \"json\", then a route or nothing";

	(void)state;
	check_refused("", unknown);
	check_refused(" status text", unknown);
	check_refused("stat text", unknown);
	check_refused("statusx text", unknown);
	check_refused("STATUS text", unknown);
	check_refused("status", format);
	check_refused("status xml", format);
	check_refused("sessions json please", format);
	check_refused("ready steady", "expected nothing after the command");
	check_refused("reload now", "expected nothing after the command");
	check_refused("detach later", "expected \"now\" or nothing");
	check_refused("trace", trace);
	check_refused("trace jso", trace);
	check_refused("trace jsonacme", trace);
	check_refused("trace json ", "no such route");
	check_refused("trace json gopher", "no such route");
	check_refused("trace text undecided", "no such route");
	check_refused("trace text route-33", "no such route");
}

static void test_names(void **state)
{
	(void)state;
	for (int command = 0; command < CONTROL_COMMANDS; command++)
		assert_true(strlen(control_command_name((enum control_command)command)) > 0);
	assert_string_equal(control_command_name(CONTROL_DETACH), "detach");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
