// SPDX-License-Identifier: BSD-2-Clause
/*
 * The configuration file: what a line means, how the command line overrides it; errors name the file, the line and the
 * remedy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options/options.h"

static char path[] = "/tmp/alpnbpf-test-config-XXXXXX";
static struct sentence why;

/* attach --config FILE and up to four more words, NULL-terminated. */
static enum options_result parse(struct options *options, const void *text, size_t length, const char *const *more)
{
	char *words[8] = {(char[]){"attach"}, (char[]){"--config"}, path};
	FILE *file = fopen(path, "w");
	int count = 3;

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	for (; more && *more; more++)
		words[count++] = strdup(*more);
	enum options_result result = options_parse(options, count, words, &why);

	while (count > 3)
		free(words[--count]);
	return result;
}

static void accepted(struct options *options, const char *text, const char *const *more)
{
	if (parse(options, text, strlen(text), more) != OPTIONS_OK)
		fail_msg("refused: %s: %s", text, why.text);
}

static void refused(const char *text, const char *sentence)
{
	struct options options;
	char expected[256];

	assert_int_equal(parse(&options, text, strlen(text), NULL), OPTIONS_USAGE);
	snprintf(expected, sizeof(expected), "%s%s", path, sentence);
	if (strncmp(why.text, expected, strlen(expected)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", why.text, expected);
}

static void test_lines(void **state)
{
	struct options o;

	(void)state;
	accepted(&o,
		 "# the ACME client\n\n  acme =10443\r\nhttps\t= 8443   # moved\nlisten = 192.0.2.1:443\n"
		 "listen = [2001:db8::1]:443\nno-bypass\nno-defer-accept = no\nbuffer=2M",
		 NULL);
	assert_string_equal(o.backends[ROUTE_ACME].text, "10443");
	assert_string_equal(o.backends[ROUTE_HTTPS].text, "8443");
	assert_int_equal(o.listener_count, 2);
	assert_false(o.bypass);
	assert_true(o.defer_accept);
	assert_int_equal(o.buffer_bytes, 2 << 20);
	accepted(&o, "acme = unix:/run/a#b\nhttps = 8443\nno-bypass = yes\n", NULL);
	assert_string_equal(o.backends[ROUTE_ACME].text, "unix:/run/a#b");
	assert_false(o.bypass);
}

static void test_command_line_comes_first(void **state)
{
	static const char text[] = "acme = 10443\nhttps = 8443\nlisten = 192.0.2.1:443\nlisten = 192.0.2.2:443\n"
				   "proxy-protocol = https=v2\nproxy-protocol = acme=v1\nworkers = 2\n";
	struct options o;

	(void)state;
	accepted(&o, text, (const char *const[]){"--listen", "198.51.100.1:443", "--workers", "7", NULL});
	assert_int_equal(o.listener_count, 1);
	assert_int_equal(o.workers, 7);
	assert_int_equal(o.proxy[ROUTE_HTTPS], PROXY_V2);
	accepted(&o, text, (const char *const[]){"--proxy-protocol", "https=v1", "--https=9443", NULL});
	assert_int_equal(o.proxy[ROUTE_HTTPS], PROXY_V1);
	assert_int_equal(o.proxy[ROUTE_ACME], PROXY_NONE);
	assert_string_equal(o.backends[ROUTE_HTTPS].text, "9443");
	assert_int_equal(o.listener_count, 2);
}

/* A rule contains = signs and a comma. A conflict that only all options together show names its line as well. */
static void test_routes(void **state)
{
	static const char text[] = "acme = 10443\nhttps = 8443\n\nroute = sni=a.example alpn=h2 -> 9443   # first\n"
				   "route=alpn=\\x23,h3 -> 127.0.0.1:9444\nproxy-protocol = route-2=v2\n";
	struct options o;
	char name[64];

	(void)state;
	accepted(&o, text, NULL);
	assert_int_equal(o.routes.count, 2);
	assert_string_equal(o.backends[ROUTE_RULE].text, "9443");
	assert_string_equal(routes_format(&o.routes, 1, name, sizeof(name)), "alpn=#,h3");
	assert_int_equal(o.proxy[ROUTE_RULE + 1], PROXY_V2);
	accepted(&o, text, (const char *const[]){"--route", "sni=b -> 1", "--route=sni=c -> 2", NULL});
	assert_int_equal(o.routes.count, 2);
	assert_string_equal(o.backends[ROUTE_RULE + 1].text, "2");
	/* Fewer lines than before: the second has no line in the file any more. */
	assert_int_equal(parse(&o, text, strlen(text), (const char *const[]){"--route", "sni=b -> 1", NULL}),
			 OPTIONS_USAGE);
	assert_non_null(
		strstr(why.text, ":6: proxy-protocol route-2=v2: route-2 does not exist (--route options given: 1)"));

	refused("acme = 10443\nroute = sni=a\n", ":2: route sni=a: no \"->\"");
	refused("\nroute = sni=a -> 1\nroute = sni=A alpn=h2 -> 2\n",
		":3: route sni=A alpn=h2 -> 2: can never match: route-1 (sni=a)");
	refused("acme = 10443\nhttps = 8443\nroute = sni=a -> 1\nroute = sni=b -> 443\n",
		":4: route sni=b -> 443 leads back to listening port 443");
	refused("acme = 10443\nhttps = 8443\nproxy-protocol = route-1=v1\n",
		":3: proxy-protocol route-1=v1: route-1 does not exist");
}

static void test_errors(void **state)
{
	char *help[] = {(char[]){"attach"}, (char[]){"--help"}, (char[]){"--config"}, (char[]){"/nowhere"}};
	char *nowhere[] = {(char[]){"attach"}, (char[]){"--config=/nowhere"}};
	char *folder[] = {(char[]){"attach"}, (char[]){"--config"}, (char[]){"/tmp"}};
	char *missing[] = {(char[]){"attach"}, (char[]){"--config"}};
	struct options o;

	(void)state;
	refused("acme = 10443\n\nhttp = 1\n", ":3: unknown option \"http\"");
	refused("acme = 10443\nhttps 8443\n", ":2: unknown option \"https 8443\"");
	refused("acme\n", ":1: acme needs a value; write acme = BACKEND");
	refused("acme =\n", ":1: acme has an empty value");
	refused("workers = many\n", ":1: workers many: not a number");
	refused("no-bypass = maybe\n", ":1: no-bypass = maybe: not yes or no");
	refused("workers = 1\nworkers = 2\n", ":2: workers 2: already given");
	refused("config = /etc/other\n", ":1: config is allowed only on the command line");
	refused("--acme = 1\n",
		":1: unknown option \"--acme\"; alpnbpf attach --help lists them (write them without --)");
	assert_int_equal(parse(&o, "acme = 1\0\n", 10, NULL), OPTIONS_USAGE);
	assert_non_null(strstr(why.text, ":1: contains a NUL byte"));
	assert_int_equal(parse(&o, "acme = 1\n", 9, NULL), OPTIONS_USAGE);
	assert_non_null(strstr(why.text, "--https is missing"));
	assert_int_equal(options_parse(&o, 2, nowhere, &why), OPTIONS_USAGE);
	assert_string_equal(why.text, "--config /nowhere: No such file or directory");
	assert_int_equal(options_parse(&o, 3, folder, &why), OPTIONS_USAGE);
	assert_string_equal(why.text, "--config /tmp: Is a directory");
	assert_int_equal(options_parse(&o, 2, missing, &why), OPTIONS_USAGE);
	assert_non_null(strstr(why.text, "--config needs a value"));
	assert_int_equal(options_parse(&o, 4, help, &why), OPTIONS_HELP);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_command_line_comes_first),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
