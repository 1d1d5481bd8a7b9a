// SPDX-License-Identifier: BSD-2-Clause
/*
 * The rules of --route: what is accepted, what is refused with which message; the tables made from them match exactly
 * the names they should, for every cut of a hello's bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "hellos.h"
#include "hello/rules.h"

static struct routes routes;
static struct clienthello_rules table;
static struct sentence why;

static bool add(const char *text)
{
	const char *backend = "";

	if (!routes_add(&routes, text, 0, &backend, &why))
		return false;
	assert_true(*backend && strstr(text, backend));
	return true;
}

/* The table of these rules, NULL-terminated. */
static void use(const char *const *rules)
{
	memset(&routes, 0, sizeof(routes));
	memset(&table, 0, sizeof(table));
	for (; *rules; rules++)
		if (!add(*rules))
			fail_msg("%s: %s", *rules, why.text);
	routes_compile(&routes, &table);
}

#define USE(...) use((const char *const[]){__VA_ARGS__, NULL})

/* 1: the first rule, and so on; 0: none; -1: acme, -2: malformed. */
static int answer(const struct clienthello *ch)
{
	switch (ch->result) {
	case CLIENTHELLO_RULE:
		return ch->rule + 1;
	case CLIENTHELLO_HTTPS:
		return 0;
	case CLIENTHELLO_ACME:
		return -1;
	case CLIENTHELLO_MALFORMED:
		return -2;
	}
	return -3;
}

static struct wire stream, message;

/* The answer to the message, the same for every cut of its stream in two and byte by byte. */
static int ask_message(void)
{
	struct clienthello whole = {0}, bytewise = {0};

	stream.length = 0;
	put_records(&stream, &message, CLIENTHELLO_RECORD_MAX);
	clienthello_feed(&whole, stream.bytes, stream.length, &table);
	for (uint32_t cut = 0; cut <= stream.length; cut++) {
		struct clienthello ch = {0};

		clienthello_feed(&ch, stream.bytes, cut, &table);
		assert_true(whole.result == CLIENTHELLO_MALFORMED || ch.result == CLIENTHELLO_MORE ||
			    cut == stream.length); /* a rule decides at the last byte */
		clienthello_feed(&ch, stream.bytes + cut, stream.length - cut, &table);
		assert_memory_equal(&ch, &whole, sizeof(ch));
	}
	for (uint32_t at = 0; at < stream.length; at++)
		clienthello_feed(&bytewise, stream.bytes + at, 1, &table);
	assert_memory_equal(&bytewise, &whole, sizeof(whole));
	for (uint32_t fragment = 1; fragment < 40; fragment += 6) {
		struct clienthello ch = {0};

		stream.length = 0;
		put_records(&stream, &message, fragment);
		clienthello_feed(&ch, stream.bytes, stream.length, &table);
		assert_int_equal(answer(&ch), answer(&whole));
	}
	return answer(&whole);
}

/* A hello with this server name (NULL: none) and these protocols; the ALPN extension comes before or after the name. */
static int ask_ordered(const char *host, const struct name *names, bool alpn_first)
{
	struct hello_open open;

	message.length = 0;
	open = hello_begin(&message);
	if (names && alpn_first)
		put_alpn(&message, names);
	put_extension(&message, 10, 0x17, 8);
	if (host)
		put_sni(&message, host);
	if (names && !alpn_first)
		put_alpn(&message, names);
	put_extension(&message, 21, 0, 5);
	hello_end(&message, open);
	return ask_message();
}

static int ask(const char *host, const struct name *names)
{
	int one = ask_ordered(host, names, true), other = ask_ordered(host, names, false);

	assert_int_equal(one, other);
	return one;
}

#define NAMES(...)                                                                                                     \
	(const struct name[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__,                                                                                           \
		{                                                                                                      \
			NULL, 0                                                                                        \
		}                                                                                                      \
	}

static void test_hosts(void **state)
{
	(void)state;
	USE("sni=www.example.org,a -> 1", "sni=*.example.org -> 2", "sni=example.org -> 3");
	assert_int_equal(ask("www.example.org", NULL), 1);
	assert_int_equal(ask("WWW.eXample.ORG", NULL), 1);
	assert_int_equal(ask("a", NULL), 1);
	assert_int_equal(ask("A", only_web), 1);
	assert_int_equal(ask("b", NULL), 0);
	assert_int_equal(ask("aa", NULL), 0);
	assert_int_equal(ask("x.example.org", NULL), 2);
	assert_int_equal(ask("x.www.EXAMPLE.org", NULL), 2);
	assert_int_equal(ask("xwww.example.org", NULL), 2);
	assert_int_equal(ask("example.org", NULL), 3);
	assert_int_equal(ask(".example.org", NULL), 0); /* no label before it */
	assert_int_equal(ask("xexample.org", NULL), 0);
	assert_int_equal(ask("www.example.orgs", NULL), 0);
	assert_int_equal(ask("www.example.org.", NULL), 0); /* RFC 6066: without the dot */
	assert_int_equal(ask("www-example.org", NULL), 0);
	assert_int_equal(ask("www\016example.org", NULL), 0); /* a difference of 0x20 means case for letters only */
	assert_int_equal(ask(NULL, NULL), 0);
	assert_int_equal(ask("www.example.org", only_acme), -1); /* comes before all rules */
}

static void test_protocols(void **state)
{
	(void)state;
	USE("alpn=h2 -> 1", "alpn=xmpp-client,\\x00\\xfF\\x2c -> 2", "alpn=acme-tls/1.1 -> 3");
	assert_int_equal(ask(NULL, NAMES(NAME("h2"))), 1);
	assert_int_equal(ask(NULL, NAMES(NAME("http/1.1"), NAME("h2"))), 1);
	assert_int_equal(ask(NULL, NAMES(NAME("H2"))), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("h"))), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("h22"))), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("xh2"))), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("h2\0"))), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("\0\xff,"))), 2);
	assert_int_equal(ask(NULL, NAMES(NAME("xmpp-client"), NAME("h2"))),
			 1); /* the order of the rules counts, not of the names in the hello */
	assert_int_equal(ask(NULL, NAMES(NAME("acme-tls/1.1"))), 3);
	assert_int_equal(ask(NULL, NAMES(NAME("acme-tls/1.1"), NAME("acme-tls/1"))), -1);
	assert_int_equal(ask(NULL, NULL), 0);
	assert_int_equal(ask("h2", NULL), 0); /* a host name does not match a protocol name */
}

/* Both words of a rule must match; of a word's names, one. */
static void test_both(void **state)
{
	(void)state;
	USE("sni=a.example,*.b.example alpn=h2,h3 -> 1", "alpn=h3 -> 2", "sni=a.example -> 3");
	assert_int_equal(ask("a.example", NAMES(NAME("h2"))), 1);
	assert_int_equal(ask("x.b.example", NAMES(NAME("x"), NAME("h3"))), 1);
	assert_int_equal(ask("b.example", NAMES(NAME("h3"))), 2);
	assert_int_equal(ask("a.example", NAMES(NAME("http/1.1"))), 3);
	assert_int_equal(ask("b.example", NAMES(NAME("h2"))), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("h2"))), 0);
}

/* The longest and the shortest names, and one byte longer. */
static void test_lengths(void **state)
{
	static char rule[2][1200], name[300];
	uint8_t protocol[256];

	(void)state;
	/* 253: 63 + 1 + 63 + 1 + 63 + 1 + 61 */
	for (size_t i = 0; i < 253; i++)
		name[i] = i % 64 == 63 ? '.' : (char)('a' + i % 26);
	name[253] = '\0';
	snprintf(rule[0], sizeof(rule[0]), "sni=%s -> 1", name);
	memset(protocol, 'p', sizeof(protocol));
	snprintf(rule[1], sizeof(rule[1]), "alpn=%.255s,q -> 2", (const char *)protocol);
	USE(rule[0], rule[1]);
	assert_int_equal(ask(name, NULL), 1);
	name[0] = 'z';
	assert_int_equal(ask(name, NULL), 0);
	name[0] = 'a';
	name[252] = '!';
	assert_int_equal(ask(name, NULL), 0);
	assert_int_equal(ask(NULL, (const struct name[]){{(const char *)protocol, 255}, {NULL, 0}}), 2);
	assert_int_equal(ask(NULL, (const struct name[]){{(const char *)protocol, 254}, {NULL, 0}}), 0);
	protocol[0] = 'P';
	assert_int_equal(ask(NULL, (const struct name[]){{(const char *)protocol, 255}, {NULL, 0}}), 0);
	assert_int_equal(ask(NULL, NAMES(NAME("q"))), 2);

	USE("sni=*.z -> 1");
	memset(name, 'x', sizeof(name));
	memcpy(name + 253, ".z", 3);
	assert_int_equal(ask(name, NULL), 1); /* 255 bytes */
	memcpy(name + 254, ".z", 3);
	assert_int_equal(ask(name, NULL), 0); /* 256: too long for a host name */
	assert_int_equal(ask("y.z", NULL), 1);
}

/* server_name extensions that are malformed, or have more than one host_name. */
static void test_server_name_list(void **state)
{
	static const struct {
		const char *bytes;
		uint16_t length;
		int answer;
	} cases[] = {
		{"", 0, -2},
		{"\0", 1, -2},
		{"\0\0", 2, -2},                /* an empty list */
		{"\0\4\0\0\1a", 6, 1},          /* well-formed */
		{"\0\3\0\0\1a", 6, -2},         /* the list is shorter than the extension */
		{"\0\5\0\0\1a", 6, -2},         /* longer */
		{"\0\4\0\0\2a", 6, -2},         /* the name is longer than the list */
		{"\0\4\0\0\0a", 6, -2},         /* an empty name, and a stray byte */
		{"\0\3\0\0\0", 5, -2},          /* an empty name */
		{"\0\6\0\0\1a\0\0", 8, -2},     /* half of an entry behind it */
		{"\0\10\0\0\1a\0\0\1b", 10, 1}, /* two: the first counts */
		{"\0\10\0\0\1b\0\0\1a", 10, 0},
		{"\0\10\7\0\1b\0\0\1a", 10, 1}, /* a name of another type is skipped */
		{"\0\7\7\0\0\0\0\1a", 9, 1},
	};

	(void)state;
	USE("sni=a -> 1");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hello_open open;
		int got;

		message.length = 0;
		open = hello_begin(&message);
		put_number(&message, 2, 0);
		put_number(&message, 2, cases[i].length);
		put_bytes(&message, cases[i].bytes, cases[i].length);
		put_sni(&message, "a"); /* a second extension is ignored */
		hello_end(&message, open);
		got = ask_message();
		if (got != cases[i].answer)
			fail_msg("case %zu: %d, not %d", i, got, cases[i].answer);
	}
}

/* With a table that contains none of their names, all cases of the parser have the same result. */
static void test_cases_with_rules(void **state)
{
	(void)state;
	USE("sni=nobody.test alpn=none -> 1");
	for (size_t i = 0; i < HELLO_CASES; i++) {
		enum clienthello_result result = hello_cases[i].result;
		struct clienthello ch = {0};

		hello_stream(&stream, &hello_cases[i], CLIENTHELLO_RECORD_MAX);
		clienthello_feed(&ch, stream.bytes, stream.length, &table);
		if (ch.result != result)
			fail_msg("%s: %d, not %d", hello_cases[i].name, ch.result, result);
	}
}

/* Full tables: as many rules and names as possible; each rule matches its own name only. */
static void test_full(void **state)
{
	char text[64], name[32];

	(void)state;
	memset(&routes, 0, sizeof(routes));
	memset(&table, 0, sizeof(table));
	for (unsigned int i = 0; i < CLIENTHELLO_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "sni=*.h%u,g%u alpn=p%u -> 1", i, i, i);
		assert_true(add(text));
	}
	assert_false(add("sni=one-more -> 1"));
	assert_non_null(strstr(why.text, "the limit is 32"));
	routes_compile(&routes, &table);
	for (unsigned int i = 0; i < CLIENTHELLO_RULES_MAX; i++) {
		struct name protocol[2] = {{text, 0}, {NULL, 0}};

		protocol[0].length = (uint8_t)snprintf(text, sizeof(text), "p%u", i);
		snprintf(name, sizeof(name), "x.h%u", i);
		assert_int_equal(ask(name, protocol), i + 1);
		snprintf(name, sizeof(name), "G%u", i);
		assert_int_equal(ask(name, protocol), i + 1);
		assert_int_equal(ask(name, NAMES(NAME("p"))), 0);
		snprintf(name, sizeof(name), "route-%u", i + 1);
		assert_string_equal(route_name((enum route)(ROUTE_RULE + i)), name);
	}

	memset(&routes, 0, sizeof(routes));
	for (unsigned int i = 0; i < 31; i++) {
		snprintf(text, sizeof(text), "sni=a%u,b%u alpn=c%u,d%u -> 1", i, i, i, i);
		assert_true(add(text));
	}
	assert_false(add("alpn=x,y -> 1"));
	assert_non_null(strstr(why.text, "\"y\" is one too many; all rules together can have 63 names in alpn="));
}

static void test_format(void **state)
{
	char text[600], small[24];

	(void)state;
	USE("alpn=h2,\\x00\\x2C\\x5c\tsni=*.Example.org,foo ->   127.0.0.1:9443");
	assert_string_equal(routes_format(&routes, 0, text, sizeof(text)),
			    "sni=*.example.org,foo alpn=h2,\\x00\\x2c\\x5c");
	assert_string_equal(routes_format(&routes, 0, small, sizeof(small)), "sni=*.example.org...");
}

/* Refused rules, the rules before them, and what the error must contain. */
static void test_refused(void **state)
{
	static const struct {
		const char *before, *rule, *says;
	} cases[] = {
		{NULL, "sni=a", "no \"->\" between blanks"},
		{NULL, "sni=a->1", "contains \">\""},
		{NULL, "-> 1", "no condition before the \"->\""},
		{NULL, "sni=a ->", "no BACKEND"},
		{NULL, "a -> 1", "\"a\" is neither alpn=NAME"},
		{NULL, "sni -> 1", "\"sni\" is neither"},
		{NULL, "sni= -> 1", "empty name in sni="},
		{NULL, "alpn=h2, -> 1", "empty name in alpn="},
		{NULL, "sni=a alpn=b sni=c -> 1", "sni= is given twice"},
		{NULL, "sni=* -> 1", "has a misplaced *"},
		{NULL, "sni=a*.example -> 1", "has a misplaced *"},
		{NULL, "sni=*.*.example -> 1", "has a misplaced *"},
		{NULL, "sni=*. -> 1", "names no host"},
		{NULL, "sni=.a -> 1", "an empty label"},
		{NULL, "sni=a..b -> 1", "an empty label"},
		{NULL, "sni=a. -> 1", "ends with a dot"},
		{NULL, "sni=a/b -> 1", "contains \"/\""},
		{NULL, "sni=\xc3\xa9 -> 1", "is not ASCII"},
		{NULL, "sni=a,b,A -> 1", "\"A\" is already matched"},
		{NULL, "sni=*.a,b.a -> 1", "\"b.a\" is already matched"},
		{NULL, "alpn=acme-tls/1 -> 1", "\"acme-tls/1\" always goes to --acme"},
		{NULL, "alpn=h2,\\x61cme-tls/1 -> 1", "always goes to --acme"},
		{NULL, "alpn=\\ -> 1", "has a \\ without xNN"},
		{NULL, "alpn=\\x1 -> 1", "has a \\ without xNN"},
		{NULL, "alpn=\\x1g -> 1", "has a \\ without xNN"},
		{NULL, "alpn=\xc3 -> 1", "contains the byte 0xc3; write it as \\xc3"},
		/* can never match */
		{"sni=a -> 1", "sni=A -> 2", "route-1 (sni=a) comes first"},
		{"sni=a,b -> 1", "sni=b,a -> 1", "can never match"},
		{"sni=*.a -> 1", "sni=x.a,*.y.a,*.a alpn=h2 -> 1", "can never match"},
		{"alpn=h2 -> 1", "alpn=h2 sni=a -> 1", "can never match"},
		/* reached */
		{"sni=*.a -> 1", "sni=a,x.a -> 1", NULL},
		{"sni=x.a -> 1", "sni=*.a -> 1", NULL},
		{"sni=a alpn=h2 -> 1", "sni=a -> 1", NULL},
		{"sni=a alpn=h2 -> 1", "alpn=h2 -> 1", NULL},
		{"alpn=h2 -> 1", "alpn=h2,h3 -> 1", NULL},
		{"alpn=h2 -> 1", "alpn=H2 -> 1", NULL},
		{"sni=*.b.a -> 1", "sni=*.a -> 1", NULL},
		{"sni=*.a -> 1", "sni=*.xa -> 1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool good;

		memset(&routes, 0, sizeof(routes));
		assert_true(!cases[i].before || add(cases[i].before));
		good = add(cases[i].rule);
		if (good != !cases[i].says || (!good && !strstr(why.text, cases[i].says)))
			fail_msg("%s: %s", cases[i].rule, good ? "accepted" : why.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),   cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_both),    cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_full),    cmocka_unit_test(test_server_name_list),
		cmocka_unit_test(test_format),  cmocka_unit_test(test_cases_with_rules),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
