// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command line: what is accepted and its meaning, what is refused; errors name option, value and remedy. Resolves
 * only "localhost" and a name that cannot exist.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "options/options.h"

#define WORDS_MAX 64

/* The error of the last parse. */
static struct sentence why;

/* Parses a command line as the shell would split it at blanks; '' is an empty word. */
static enum options_result parse(struct options *options, const char *line)
{
	static char copy[2048];
	char *words[WORDS_MAX + 1] = {(char[]){"attach"}}, *rest = copy, *word;
	int count = 1;

	assert_true(strlen(line) < sizeof(copy));
	memcpy(copy, line, strlen(line) + 1);
	while ((word = strsep(&rest, " "))) {
		assert_true(count < WORDS_MAX);
		if (strcmp(word, "''") == 0)
			word += 2;
		else if (!*word)
			continue;
		words[count++] = word;
	}
	return options_parse(options, count, words, &why);
}

static const char *text_of(const struct address *address)
{
	static char text[ADDRESS_TEXT_MAX];

	return address_format(address, text, sizeof(text));
}

#define BACKENDS "--acme 10443 --https 8443 "

static void accepted(struct options *options, const char *more)
{
	char line[1024];

	snprintf(line, sizeof(line), BACKENDS "%s", more);
	if (parse(options, line) != OPTIONS_OK)
		fail_msg("refused: %s: %s", line, why.text);
	assert_string_equal(why.text, "");
}

static void test_defaults(void **state)
{
	struct options o;

	(void)state;
	accepted(&o, "");
	assert_string_equal(o.backends[ROUTE_ACME].text, "10443");
	assert_int_equal(o.backends[ROUTE_ACME].count, 2);
	assert_string_equal(text_of(&o.backends[ROUTE_ACME].addresses[0]), "127.0.0.1:10443");
	assert_string_equal(text_of(&o.backends[ROUTE_HTTPS].addresses[1]), "[::1]:8443");
	assert_int_equal(o.listener_count, 2);
	assert_true(o.listener_implied[0] && o.listener_implied[1]);
	assert_string_equal(text_of(&o.listeners[0]), "0.0.0.0:443");
	assert_string_equal(text_of(&o.listeners[1]), "[::]:443");
	assert_int_equal(o.proxy[ROUTE_HTTPS], PROXY_NONE);
	assert_int_equal(o.proxy[ROUTE_ACME], PROXY_NONE);
	assert_false(o.proxy_tlv_alpn || o.proxy_tlv_authority);
	assert_int_equal(o.hello_timeout_ms, 5000);
	assert_int_equal(o.connect_timeout_ms, 5000);
	assert_int_equal(o.idle_timeout_ms, 600000);
	assert_int_equal(o.acme_timeout_ms, 10000);
	assert_int_equal(o.drain_timeout_ms, 30000);
	assert_int_equal(o.acme_fallback, ACME_FALLBACK_HTTPS);
	assert_int_equal(o.max_connections, 0);
	assert_int_equal(o.max_per_source, 0);
	assert_int_equal(o.workers, 0);
	assert_int_equal(o.buffer_bytes, 1 << 20);
	assert_true(o.defer_accept);
	assert_true(o.bypass);
	assert_int_equal(o.in_place_count, 0);
	assert_int_equal(o.arm, ARM_AUTO);
	assert_int_equal(o.client_address, CLIENT_ADDRESS_AUTO);
	assert_int_equal(o.dataplane, DATAPLANE_AUTO);
	assert_int_equal(o.log_level, LOG_LEVEL_INFO);
	assert_int_equal(o.log_format, LOG_FORMAT_TEXT);
}

static void test_every_option(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(
		parse(&o,
		      "--acme=unix:/run/acme --https [2001:db8::1]:8443 --listen 192.0.2.1:443 "
		      "--listen=[2001:db8::2]:443 --proxy-protocol https=v2 --proxy-protocol acme=v1 "
		      "--proxy-tlv alpn --proxy-tlv authority --hello-timeout 1ms --connect-timeout 2s "
		      "--idle-timeout 3m --acme-timeout 4h --drain-timeout 5 --acme-fallback close "
		      "--max-connections 100 --max-per-source 10 --workers 256 --buffer 64K "
		      "--no-bypass --arm always --client-address none --no-defer-accept --dataplane sockmap --log-level=debug --log-format json"),
		OPTIONS_OK);
	assert_string_equal(text_of(&o.backends[ROUTE_ACME].addresses[0]), "unix:/run/acme");
	assert_string_equal(text_of(&o.backends[ROUTE_HTTPS].addresses[0]), "[2001:db8::1]:8443");
	assert_int_equal(o.listener_count, 2);
	assert_false(o.listener_implied[0] || o.listener_implied[1]);
	assert_string_equal(text_of(&o.listeners[1]), "[2001:db8::2]:443");
	assert_int_equal(o.proxy[ROUTE_HTTPS], PROXY_V2);
	assert_int_equal(o.proxy[ROUTE_ACME], PROXY_V1);
	assert_true(o.proxy_tlv_alpn && o.proxy_tlv_authority);
	assert_int_equal(o.hello_timeout_ms, 1);
	assert_int_equal(o.connect_timeout_ms, 2000);
	assert_int_equal(o.idle_timeout_ms, 180000);
	assert_int_equal(o.acme_timeout_ms, 4 * 3600 * 1000);
	assert_int_equal(o.drain_timeout_ms, 5000);
	assert_int_equal(o.acme_fallback, ACME_FALLBACK_CLOSE);
	assert_int_equal(o.max_connections, 100);
	assert_int_equal(o.max_per_source, 10);
	assert_int_equal(o.workers, 256);
	assert_int_equal(o.buffer_bytes, 65536);
	assert_false(o.defer_accept || o.bypass);
	assert_int_equal(o.arm, ARM_ALWAYS);
	assert_int_equal(o.client_address, CLIENT_ADDRESS_NONE);
	assert_int_equal(o.dataplane, DATAPLANE_SOCKMAP);
	assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(o.log_format, LOG_FORMAT_JSON);
}

static void test_edges_accepted(void **state)
{
	struct options o;

	(void)state;
	accepted(&o, "--proxy-tlv alpn,authority --proxy-protocol acme=v2");
	assert_true(o.proxy_tlv_alpn && o.proxy_tlv_authority);
	accepted(&o, "--idle-timeout 0 --drain-timeout 0 --max-per-source 0");
	assert_int_equal(o.idle_timeout_ms + o.drain_timeout_ms + o.max_per_source, 0);
	accepted(&o, "--idle-timeout 576h");
	assert_int_equal(o.idle_timeout_ms, 576u * 3600 * 1000);
	accepted(&o, "--buffer 64M");
	assert_int_equal(o.buffer_bytes, 64 << 20);
	accepted(&o, "--buffer 65536");
	accepted(&o, "--max-connections 1000000 --workers 1");
	accepted(&o, "--listen 8080"); /* a family that does not exist */
	assert_int_equal(o.listener_count, 2);
	assert_true(o.listener_implied[0] && o.listener_implied[1]);
	/* A mapped address becomes its IPv4 address: a listener on it could not be V6ONLY. */
	accepted(&o, "--listen [::ffff:192.0.2.1]:443");
	assert_string_equal(text_of(&o.listeners[0]), "192.0.2.1:443");
	assert_int_equal(o.listeners[0].sa.sa_family, AF_INET);
	/* In place: a port alone is compared by its number, an address by where it leads. */
	assert_int_equal(parse(&o, "--acme 10443 --https 443"), OPTIONS_OK);
	assert_int_equal(o.in_place_count, 2);
	assert_true(o.in_place[0] && o.in_place[1]);
	assert_int_equal(parse(&o, "--acme 10443 --https 443 --listen 192.0.2.1:443 --listen 80"), OPTIONS_OK);
	assert_int_equal(o.in_place_count, 1);
	assert_true(o.in_place[0] && !o.in_place[1]);
	assert_int_equal(parse(&o, "--acme 10443 --https localhost:443"), OPTIONS_OK);
	assert_true(o.in_place[0]);
	assert_int_equal(parse(&o, "--acme 10443 --https 127.9.9.9:443"), OPTIONS_OK);
	assert_true(o.in_place[0] && !o.in_place[1]);
	assert_int_equal(parse(&o, "--acme 10443 --https [::1]:443"), OPTIONS_OK);
	assert_true(!o.in_place[0] && o.in_place[1]);
	assert_int_equal(parse(&o, "--acme 10443 --https [::ffff:127.0.0.1]:443"), OPTIONS_OK);
	assert_true(o.in_place[0] && !o.in_place[1]);
	accepted(&o, "--client-address proxy-v2");
	assert_int_equal(o.proxy[ROUTE_HTTPS], PROXY_V2);
	accepted(&o, "--client-address proxy-v1 --proxy-protocol https=v1");
	accepted(&o, "--client-address transparent");
	/* The same port, but the backend's address does not lead to it. */
	assert_int_equal(parse(&o, "--acme 10443 --https 127.0.0.1:443 --listen [::]:443"), OPTIONS_OK);
	assert_int_equal(parse(&o, "--acme 10443 --https 127.0.0.1:443 --listen 192.0.2.1:443"), OPTIONS_OK);
	assert_int_equal(parse(&o, "--acme 10443 --https 192.0.2.77:443"), OPTIONS_OK);
	assert_int_equal(parse(&o, "--acme 10443 --https unix:443"), OPTIONS_OK);
	/* Both routes to one server, which may answer validations itself. */
	assert_int_equal(parse(&o, "--acme 8443 --https 8443"), OPTIONS_OK);
}

static void test_command(void **state)
{
	struct options o;

	(void)state;
	accepted(&o, "");
	assert_null(o.command);
	accepted(&o, "-- nginx --help --acme");
	assert_string_equal(o.command[0], "nginx");
	assert_string_equal(o.command[2], "--acme");
	assert_null(o.command[3]);
}

/* The test's parser splits words at blanks only; a tab within a word is a blank for the rule. */
static void test_routes(void **state)
{
	struct options o;
	char text[64], small[40];

	(void)state;
	accepted(&o, "");
	assert_int_equal(o.routes.count, 0);
	accepted(&o, "--proxy-protocol route-2=v2 --proxy-tlv alpn --route sni=a,*.b.example\t->\t9443 "
		     "--route=alpn=h2\tsni=c\t->\tunix:/run/x");
	assert_int_equal(o.routes.count, 2);
	assert_string_equal(routes_format(&o.routes, 1, text, sizeof(text)), "sni=c alpn=h2");
	assert_string_equal(o.backends[ROUTE_RULE].text, "9443");
	assert_int_equal(o.backends[ROUTE_RULE].count, 2);
	assert_string_equal(text_of(&o.backends[ROUTE_RULE + 1].addresses[0]), "unix:/run/x");
	assert_int_equal(o.proxy[ROUTE_RULE], PROXY_NONE);
	assert_int_equal(o.proxy[ROUTE_RULE + 1], PROXY_V2);
	assert_string_equal(options_list_rules(&o, text, sizeof(text)), ", route-1 -> 9443, route-2 -> unix:/run/x");
	assert_string_equal(options_list_rules(&o, small, sizeof(small)), ", route-1 -> 9443 and 1 more");

	/* A rule may have the backend of another route. */
	accepted(&o, "--route sni=a\t->\t8443 --route sni=b\t->\t10443");

	/* For `inspect`, which connects to no backend, the backends may be missing. */
	assert_int_equal(options_parse_routes(&o, 3, (char *[]){"inspect", "--route", "sni=a -> 443"}, &why),
			 OPTIONS_OK);
	assert_int_equal(options_parse_routes(&o, 3, (char *[]){"inspect", "--route", "sni=a -> x"}, &why),
			 OPTIONS_USAGE);
	assert_string_equal(why.text, "--route sni=a -> x: the port is missing; write x:PORT");
}

static void test_help_and_version(void **state)
{
	struct options o;
	const char *help = options_help();

	(void)state;
	assert_int_equal(parse(&o, "--help"), OPTIONS_HELP);
	assert_int_equal(parse(&o, "--version"), OPTIONS_VERSION);
	assert_int_equal(parse(&o, BACKENDS "--workers 2 --help"), OPTIONS_HELP);
	assert_non_null(strstr(help, "\n  --acme BACKEND "));
	assert_non_null(strstr(help, "\n  --version "));
	assert_non_null(strstr(help, "RULE: sni="));
	assert_non_null(strstr(help, "SIZE: bytes")); /* the last line is there: nothing was cut off */
	assert_int_equal(help[strlen(help) - 1], '\n');
}

/* Refused lines, and what the error must contain. */
static const struct refused {
	const char *line, *says[3];
} refused[] = {
	{"", {"--acme is missing", "--acme 10443 --https 8443"}},
	{"--acme 10443", {"--https is missing"}},
	{"--https 8443", {"--acme is missing"}},
	/* options */
	{"--ac 10443", {"unknown option --ac;", "--help"}},
	{"--https-x 1", {"unknown option --https-x;"}},
	{"--=1", {"unknown option --;"}},
	{"-v", {"unknown option -v;", "\"--\""}},
	{"attach", {"unexpected argument \"attach\"", "--https 8443"}},
	{"-", {"unexpected argument \"-\""}},
	{"--", {"no command follows --", "-- nginx"}},
	{"''", {"unexpected argument \"\""}},
	{BACKENDS "8443", {"unexpected argument \"8443\""}},
	{"--help=1", {"--help takes no value, but got \"1\""}},
	{"--no-defer-accept=yes", {"--no-defer-accept takes no value, but got \"yes\""}},
	{"--no-defer-accept --no-defer-accept", {"--no-defer-accept: already given"}},
	{"--acme", {"--acme needs a value", "--acme BACKEND"}},
	{"--acme --https 8443", {"--acme needs a value"}},
	{"--acme=", {"--acme has an empty value"}},
	{"--acme ''", {"--acme has an empty value"}},
	{"--acme 1 --acme 2", {"--acme 2: already given", "once"}},
	{"--workers 1 --workers 1", {"--workers 1: already given"}},
	/* backends */
	{"--acme 0", {"--acme 0:", "not a port", "1 to 65535"}},
	{"--acme 65536", {"--acme 65536:", "1 to 65535"}},
	{"--acme 127.0.0.1:0", {"--acme 127.0.0.1:0:", "\"0\" is not a port"}},
	{"--acme 127.0.0.1:", {"port is missing"}},
	{"--acme localhost", {"port is missing", "localhost:PORT"}},
	{"--https name.invalid:8443", {"--https name.invalid:8443:", "cannot be resolved"}},
	{"--https unix:", {"--https unix::", "path is missing"}},
	/* loops */
	{"--acme 443 --https 8443", {"--acme leads back to listening port 443", "ACME client", "such as 10443"}},
	{"--acme 443 --https 443", {"--acme leads back to listening port 443"}},
	/* rules; their syntax is tested in test_rules.c */
	{"--route", {"--route needs a value", "--route RULE"}},
	{"--route sni=a", {"--route sni=a: no \"->\""}},
	{"--route sni=a\t->\t0", {"--route sni=a\t->\t0: ", "not a port"}},
	{BACKENDS "--route sni=a\t->\t443", {"--route sni=a -> 443 leads back to listening port 443", "its own"}},
	{BACKENDS "--route sni=b\t->\t1 --route sni=a\t->\t127.0.0.1:443", {"--route sni=a -> 127.0.0.1:443 leads"}},
	{BACKENDS "--proxy-protocol route-1=v1",
	 {"--proxy-protocol route-1=v1: route-1 does not exist (--route options given: 0)"}},
	{BACKENDS "--route sni=a\t->\t1 --proxy-protocol route-2=v1",
	 {"route-2 does not exist (--route options given: 1)"}},
	{BACKENDS "--proxy-protocol route-33=v1", {"--proxy-protocol route-33=v1: not ROUTE=VERSION"}},
	{BACKENDS "--proxy-protocol undecided=v1", {"not ROUTE=VERSION"}},
	/* in place, and the client's address */
	{"--acme 1 --https 443 --proxy-protocol https=v1", {"in place", "PROXY header", "--proxy-protocol"}},
	{"--acme 1 --https 443 --client-address proxy-v2", {"in place", "PROXY header", "--client-address"}},
	{"--acme 1 --https 2 --client-address ip", {"--client-address ip:", "none|peername|transparent"}},
	{"--acme 1 --https 2 --client-address proxy-v1 --proxy-protocol https=v2", {"https=v2; give one"}},
	{"--acme 1 --https 2 --client-address peername --proxy-protocol https=v2", {"peername", "give one"}},
	{"--acme 1 --https unix:/x --client-address peername", {"peername: --https unix:/x is not", "proxy-v2"}},
	{"--acme 1 --https 192.0.2.77:8443 --client-address transparent", {"transparent: --https 192.0.2.77:8443"}},
	{"--acme 1 --https 2 --arm never", {"--arm never:", "auto|always"}},
	{"--acme 1 --https 2 --no-bypass=1", {"--no-bypass takes no value"}},
	{"--listen [::1]:1 --acme 1 --https 2", {"--acme leads back to listening port 1"}},
	/* listeners */
	{"--listen 0", {"--listen 0:", "not a port"}},
	{"--listen localhost:443", {"--listen localhost:443:", "numeric"}},
	{"--listen 192.0.2.1", {"--listen 192.0.2.1:", "port is missing"}},
	{"--listen 443 --listen 0.0.0.0:443", {"--listen 0.0.0.0:443:", "already", "once"}},
	{"--listen [::]:443 --listen :443", {"--listen :443: [::]:443 is already given"}},
	/* PROXY protocol */
	{"--proxy-protocol v2", {"--proxy-protocol v2:", "https=v2"}},
	{"--proxy-protocol https=2", {"--proxy-protocol https=2:"}},
	{"--proxy-protocol http=v2", {"--proxy-protocol http=v2:"}},
	{"--proxy-protocol =v2", {"--proxy-protocol =v2:"}},
	{"--proxy-protocol https=v2 --proxy-protocol https=v2", {"https already has a version"}},
	{"--proxy-tlv sni", {"--proxy-tlv sni:", "\"sni\" is not a TLV", "alpn,authority"}},
	{"--proxy-tlv alpn,", {"\"\" is not a TLV"}},
	{"--proxy-tlv alpn --proxy-tlv alpn", {"alpn is given twice"}},
	{BACKENDS "--proxy-tlv alpn", {"--proxy-tlv:", "--proxy-protocol https=v2"}},
	{BACKENDS "--proxy-tlv alpn --proxy-protocol https=v1", {"--proxy-tlv:", "version 2"}},
	/* durations */
	{"--hello-timeout 5x", {"--hello-timeout 5x:", "not a duration", "10s"}},
	{"--hello-timeout s", {"not a duration"}},
	{"--hello-timeout 1.5s", {"not a duration"}},
	{"--hello-timeout -1", {"--hello-timeout -1:", "not a duration"}},
	{"--hello-timeout +1", {"not a duration"}},
	{"--hello-timeout 5S", {"not a duration"}},
	{"--hello-timeout 99999999999999999999", {"not a duration"}},
	{"--hello-timeout 577h", {"--hello-timeout 577h:", "576h"}},
	{"--hello-timeout 0", {"--hello-timeout 0:", "at least 1ms"}},
	{"--connect-timeout 0ms", {"--connect-timeout 0ms:", "at least 1ms"}},
	{"--acme-timeout 0", {"at least 1ms"}},
	/* numbers, sizes, choices */
	{"--workers 0", {"--workers 0:", "1 to 256"}},
	{"--workers 257", {"--workers 257:", "1 to 256"}},
	{"--max-connections 0", {"--max-connections 0:", "1 to 1000000"}},
	{"--max-connections 1000001", {"1 to 1000000"}},
	{"--max-connections 18446744073709551617", {"1 to 1000000"}},
	{"--max-per-source -1", {"0 for no limit"}},
	{"--max-per-source 1x", {"--max-per-source 1x:"}},
	{"--buffer 63K", {"--buffer 63K:", "64K to 64M"}},
	{"--buffer 65M", {"--buffer 65M:", "64K to 64M"}},
	{"--buffer 999999999999999M", {"64K to 64M"}},
	{"--buffer 1G", {"--buffer 1G:", "K or M"}},
	{"--buffer M", {"--buffer M:", "not a size"}},
	{"--dataplane xdp", {"--dataplane xdp:", "auto|sockmap|user"}},
	{"--acme-fallback reset", {"--acme-fallback reset:", "https|close"}},
	{"--log-level trace", {"--log-level trace:", "error|warn|info|debug"}},
	{"--log-format xml", {"--log-format xml:", "text|json"}},
	{"--log-format JSON", {"--log-format JSON:"}},
};

static void test_refused(void **state)
{
	struct options o;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (parse(&o, refused[i].line) != OPTIONS_USAGE)
			fail_msg("accepted: %s", refused[i].line);
		for (size_t j = 0; j < 3 && refused[i].says[j]; j++)
			if (!strstr(why.text, refused[i].says[j]))
				fail_msg("%s: \"%s\" does not say \"%s\"", refused[i].line, why.text,
					 refused[i].says[j]);
		assert_null(strchr(why.text, '\n'));
	}
}

static void test_long_values(void **state)
{
	static char line[2048];
	struct options o;

	(void)state;
	/* sun_path has 108 bytes, one of them the NUL. */
	snprintf(line, sizeof(line), "--https 8443 --acme unix:/%0106d", 0);
	assert_int_equal(parse(&o, line), OPTIONS_OK);
	snprintf(line, sizeof(line), "--https 8443 --acme unix:/%0107d", 0);
	assert_int_equal(parse(&o, line), OPTIONS_USAGE);
	assert_non_null(strstr(why.text, "107 bytes at most; this one has 108"));
	snprintf(line, sizeof(line), "--https 8443 --acme %0300d:443", 0);
	assert_int_equal(parse(&o, line), OPTIONS_USAGE);
	assert_non_null(strstr(why.text, "is longer than 299 characters"));
	/* A long error is cut. */
	snprintf(line, sizeof(line), "--%01200d", 0);
	assert_int_equal(parse(&o, line), OPTIONS_USAGE);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
	assert_string_equal(why.text + strlen(why.text) - 3, "...");
}

static void test_listeners_max(void **state)
{
	char line[64 * LISTENERS_MAX], *words[2 * LISTENERS_MAX + 8] = {(char[]){"attach"}};
	struct options o;
	int count = 1;
	char *at = line;

	(void)state;
	for (int port = 1; port <= LISTENERS_MAX + 1; port++) {
		words[count++] = at;
		at += sprintf(at, "--listen=127.0.0.1:%d", port) + 1;
	}
	assert_int_equal(options_parse(&o, count, words, &why), OPTIONS_USAGE);
	assert_non_null(strstr(why.text, "--listen 127.0.0.1:65: one address too many; the limit is 64"));
	words[count - 1] = (char[]){"--acme=10443"};
	words[count++] = (char[]){"--https=8443"};
	assert_int_equal(options_parse(&o, count, words, &why), OPTIONS_OK);
	assert_int_equal(o.listener_count, LISTENERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_every_option),
		cmocka_unit_test(test_edges_accepted), cmocka_unit_test(test_routes),
		cmocka_unit_test(test_command),        cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_listeners_max),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
