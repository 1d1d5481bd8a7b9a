// SPDX-License-Identifier: BSD-2-Clause
/*
 * The rules of a reload, for each option of the table: a changed option is named, and no other, as one that a reload
 * can change or cannot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "options/changes.h"
#include "options/table.h"

#define WORDS_MAX 32

static struct options old, new;

/* "--name=value ..." as options; adds backends unless the words have them. */
static void parse(struct options *options, const char *words)
{
	static char copy[1024];
	char *argv[WORDS_MAX + 1] = {(char[]){"attach"}}, *rest = copy, *word;
	struct sentence why;
	int count = 1;

	snprintf(copy, sizeof(copy), "%s%s%s", words, strstr(words, "--acme=") ? "" : " --acme=10443",
		 strstr(words, "--https=") ? "" : " --https=8443");
	while ((word = strsep(&rest, " ")))
		if (*word) {
			assert_true(count < WORDS_MAX);
			argv[count++] = word;
		}
	if (options_parse(options, count, argv, &why) != OPTIONS_OK)
		fail_msg("%s: %s", words, why.text);
}

static const char *changes(bool fixed)
{
	static char names[256];
	unsigned int count = options_list_changes(&old, &new, fixed, names, sizeof(names)), commas = 0;

	for (const char *at = names; *at; at++)
		commas += *at == ',';
	assert_int_equal(count, *names ? commas + 1 : 0);
	return names;
}

/* From `before` to `after` and back: the names of the changed and of the fixed options. */
static void differ(const char *before, const char *after, const char *changed, const char *fixed)
{
	for (int back = 0; back < 2; back++) {
		parse(&old, back ? after : before);
		parse(&new, back ? before : after);
		if (strcmp(changes(false), changed) != 0)
			fail_msg("\"%s\" and \"%s\": changed: \"%s\"", before, after, changes(false));
		if (strcmp(changes(true), fixed) != 0)
			fail_msg("\"%s\" and \"%s\": fixed: \"%s\"", before, after, changes(true));
	}
}

static const struct {
	const char *name, *before, *after;
	bool fixed;
} cases[] = {
	{"acme", "--acme=10443", "--acme=10444", false},
	{"https", "--https=8443", "--https=127.0.0.1:8443", false},
	{"listen", "--listen=192.0.2.1:443", "--listen=192.0.2.2:443", false},
	{"route", NULL, NULL, false}, /* its value has blanks: test_routes() */
	{"proxy-protocol", "--proxy-protocol=https=v1", "--proxy-protocol=https=v2", false},
	{"proxy-tlv", "--proxy-protocol=https=v2 --proxy-tlv=alpn",
	 "--proxy-protocol=https=v2 --proxy-tlv=alpn,authority", false},
	{"client-address", "--client-address=none", "", true},
	{"arm", "", "--arm=always", true},
	{"inspect", "--inspect=steer", "--inspect=watch", true},
	{"no-bypass", "", "--no-bypass", true},
	{"hello-timeout", "", "--hello-timeout=6s", false},
	{"connect-timeout", "", "--connect-timeout=6s", false},
	{"idle-timeout", "", "--idle-timeout=0", false},
	{"acme-timeout", "", "--acme-timeout=11s", false},
	{"drain-timeout", "", "--drain-timeout=31s", false},
	{"acme-fallback", "", "--acme-fallback=close", false},
	{"max-connections", "", "--max-connections=10", false},
	{"max-per-source", "", "--max-per-source=10", false},
	{"workers", "--workers=1", "--workers=2", true},
	{"buffer", "", "--buffer=2M", false},
	{"no-defer-accept", "", "--no-defer-accept", false},
	{"dataplane", "--dataplane=user", "--dataplane=sockmap", true},
	{"log-level", "", "--log-level=debug", false},
	{"log-format", "", "--log-format=json", false},
	{"metrics", "--metrics=9100", "--metrics=9101", true},
	{"name", "--name=web", "--name=website", true},
	{"netns", "", "--netns=web", true},
	{"user", "", "--user=www", true},
	{"acme-user", "", "--acme-user=0", false},
	{"https-user", "--https-user=0", "--https-user=any", false},
	{"control-group", "", "--control-group=www", true},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void test_each(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++)
		if (cases[i].before)
			differ(cases[i].before, cases[i].after, cases[i].fixed ? "" : cases[i].name,
			       cases[i].fixed ? cases[i].name : "");
}

/* A new option needs a row in the table above, which says what a reload does with it. */
static void test_all_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < option_spec_count; i++) {
		bool known = option_specs[i].not_in_file; /* only on the command line: a reload cannot change it */

		for (size_t j = 0; j < CASES; j++)
			known = known || strcmp(cases[j].name, option_specs[i].name) == 0;
		if (!known)
			fail_msg("--%s is not tested", option_specs[i].name);
	}
}

/* No change: a default written out, another order, another spelling of the same value. */
static void test_the_same(void **state)
{
	static const char *const same[][2] = {
		{"", "--hello-timeout=5s --connect-timeout=5000ms --idle-timeout=10m --acme-timeout=10"},
		{"", "--drain-timeout=30s --buffer=1M --log-level=info --log-format=text --acme-fallback=https"},
		{"", "--dataplane=auto --arm=auto --inspect=auto --max-per-source=0"},
		{"--listen=192.0.2.1:443 --listen=192.0.2.2:443", "--listen=192.0.2.2:443 --listen=192.0.2.1:443"},
		{"--listen=443", "--listen=0.0.0.0:443 --listen=[::]:443"},
		{"--proxy-protocol=https=v2 --proxy-tlv=alpn --proxy-tlv=authority",
		 "--proxy-protocol=https=v2 --proxy-tlv=authority,alpn"},
		{"--metrics=9100", "--metrics=127.0.0.1:9100"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		differ(same[i][0], same[i][1], "", "");
}

static void add_route(struct options *options, const char *rule)
{
	char *argv[] = {(char[]){"attach"},  (char[]){"--acme=10443"}, (char[]){"--https=8443"},
			(char[]){"--route"}, (char *)(uintptr_t)rule,  NULL};
	struct sentence why;

	if (options_parse(options, 5, argv, &why) != OPTIONS_OK)
		fail_msg("%s: %s", rule, why.text);
}

static void test_routes(void **state)
{
	(void)state;
	add_route(&old, "sni=a.example alpn=h2 -> 9443");
	add_route(&new, "alpn=h2 sni=a.example   ->  9443");
	assert_true(options_same_routes(&old, &new));
	assert_string_equal(changes(false), "");
	add_route(&new, "alpn=h2 sni=a.example -> 9444");
	assert_string_equal(changes(false), "route");
	add_route(&new, "alpn=h2 sni=b.example -> 9443");
	assert_string_equal(changes(false), "route");
	parse(&new, "");
	assert_string_equal(changes(false), "route");
	assert_string_equal(changes(true), "");
}

static void test_several(void **state)
{
	char names[12];

	(void)state;
	differ("--workers=1 --idle-timeout=1s", "--arm=always --workers=2 --log-level=debug --acme=unix:/a",
	       "acme, idle-timeout, log-level", "arm, workers");
	/* The list is cut; the count is not. */
	assert_int_equal(options_list_changes(&old, &new, false, names, sizeof(names)), 3);
	assert_string_equal(names, "acme, idle-");
}

static void test_listeners(void **state)
{
	struct address found, other;

	(void)state;
	parse(&old, "--listen=192.0.2.1:443");
	parse(&new, "--listen=192.0.2.1:444");
	found = old.listeners[0];
	other = new.listeners[0];
	assert_true(options_has_listener(&old, &found));
	assert_false(options_has_listener(&old, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),     cmocka_unit_test(test_all_of_the_table),
		cmocka_unit_test(test_the_same), cmocka_unit_test(test_routes),
		cmocka_unit_test(test_several),  cmocka_unit_test(test_listeners),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
