// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the ClientHello parser, with and without rules, and hello_describe(). The first byte chooses how the rest is
 * cut; the result must not depend on it. hello_describe() is a second, independent parser: where both have a result,
 * they must agree. The rule that matches is checked again by comparing strings.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/inputs.h"
#include "hello/describe.h"
#include "hello/rules.h"

static uint8_t records[CLIENTHELLO_WIRE_MAX];

/* Names from the corpus, and short ones, which the fuzzer finds. */
static const char *const rule_texts[] = {"sni=www.example.org alpn=h2 -> 1", "sni=*.example.org,a -> 1",
					 "alpn=http/1.1,\\x00,h3 -> 1", "sni=*.e,*.example -> 1"};
static struct routes routes;
static struct clienthello_rules rules;

static void make_rules(void)
{
	const char *backend;
	struct sentence why;

	if (routes.count)
		return;
	for (size_t i = 0; i < sizeof(rule_texts) / sizeof(rule_texts[0]); i++)
		if (!routes_add(&routes, rule_texts[i], 0, &backend, &why))
			abort();
	routes_compile(&routes, &rules);
}

static bool is_alpn(const struct hello *hello, const struct route_pattern *pattern)
{
	size_t position = 0, length;
	const uint8_t *name;

	while (hello_alpn_next(hello, &position, &name, &length))
		if (length == pattern->length && !memcmp(name, pattern->bytes, length))
			return true;
	return false;
}

static bool is_host(const struct hello *hello, const struct route_pattern *pattern)
{
	size_t length = strlen(hello->server_name);

	if (pattern->suffix ? length <= pattern->length : length != pattern->length)
		return false;
	return !strncasecmp(hello->server_name + length - pattern->length, (const char *)pattern->bytes,
			    pattern->length);
}

static bool meets(const struct hello *hello, unsigned int rule, int kind)
{
	uint64_t names = routes.rules[rule].any_of[kind];

	for (unsigned int i = 0; i < routes.pattern_count[kind]; i++)
		if (names >> i & 1 && (kind == CLIENTHELLO_SNI ? is_host(hello, &routes.patterns[kind][i])
							       : is_alpn(hello, &routes.patterns[kind][i])))
			return true;
	return !names;
}

/*
 * With rules a hello is read to its end. In a complete, well-formed one hello_describe() has read the matching name,
 * unless it is not printable or the list was too long.
 */
static void check_rules(const uint8_t *bytes, size_t length)
{
	struct hello hello;
	unsigned int rule = 0;

	hello_describe(&hello, bytes, length, &rules);
	if (hello.result == CLIENTHELLO_ACME || hello.result == CLIENTHELLO_HTTPS || hello.result == CLIENTHELLO_RULE)
		assert(hello.complete);
	if (hello.alpn_truncated || (hello.result != CLIENTHELLO_HTTPS && hello.result != CLIENTHELLO_RULE))
		return;
	while (rule < routes.count && !(meets(&hello, rule, CLIENTHELLO_ALPN) && meets(&hello, rule, CLIENTHELLO_SNI)))
		rule++;
	if (hello.server_name[0] || hello.result == CLIENTHELLO_HTTPS)
		assert(hello.route == (rule < routes.count ? (enum route)(ROUTE_RULE + rule) : ROUTE_HTTPS));
}

static bool alpn_holds_acme(const struct hello *hello)
{
	size_t position = 0, length;
	const uint8_t *name;

	while (hello_alpn_next(hello, &position, &name, &length))
		if (length == 10 && !memcmp(name, "acme-tls/1", 10))
			return true;
	return false;
}

/* The stream in one piece, and in segments whose sizes come from `cuts` in turn. */
static enum clienthello_result check_segments(const uint8_t *bytes, size_t length, const uint8_t *cuts,
					      size_t cut_count, const struct clienthello_rules *table)
{
	struct clienthello whole = {0}, pieces = {0};

	clienthello_feed(&whole, bytes, (__u32)length, table);
	for (size_t at = 0, i = 0; at < length; i++) {
		size_t count = cut_count ? cuts[i % cut_count] + 1u : 1;

		if (count > length - at)
			count = length - at;
		clienthello_feed(&pieces, bytes + at, (__u32)count, table);
		at += count;
	}
	assert(!memcmp(&whole, &pieces, sizeof(whole)));
	return (enum clienthello_result)whole.result;
}

/* The input as a handshake message: the same result in records of `fragment` bytes as in the largest ones. */
static void check_records(const uint8_t *message, size_t length, size_t fragment, const struct clienthello_rules *table)
{
	enum clienthello_result results[2];
	const size_t fragments[2] = {CLIENTHELLO_RECORD_MAX, fragment};

	if (length > 4 + CLIENTHELLO_BODY_MAX)
		length = 4 + CLIENTHELLO_BODY_MAX;
	for (int i = 0; i < 2; i++) {
		struct clienthello ch = {0};
		size_t used = 0;

		for (size_t at = 0; at < length; at += fragments[i]) {
			size_t count = length - at < fragments[i] ? length - at : fragments[i];

			memcpy(records + used, (uint8_t[]){22, 3, 1, (uint8_t)(count >> 8), (uint8_t)count}, 5);
			memcpy(records + used + 5, message + at, count);
			used += 5 + count;
		}
		results[i] = clienthello_feed(&ch, records, (__u32)used, table);
	}
	assert(results[0] == results[1]);
}

static void check_description(const uint8_t *bytes, size_t length, enum clienthello_result result)
{
	struct hello hello;
	char text[4 * HELLO_ALPN_MAX + 1];

	hello_describe(&hello, bytes, length, NULL);
	assert(hello.result == result);
	assert(strlen(hello.server_name) <= HELLO_SERVER_NAME_MAX);
	assert(hello_escape(text, sizeof(text), hello.alpn, hello.alpn_length) < sizeof(text));
	if (result == CLIENTHELLO_ACME)
		assert(hello.complete && (hello.alpn_truncated || alpn_holds_acme(&hello)));
	if (result == CLIENTHELLO_HTTPS)
		assert(!alpn_holds_acme(&hello));
	if (result == CLIENTHELLO_MORE)
		assert(!hello.complete);
	if (result == CLIENTHELLO_NOT_TLS || result == CLIENTHELLO_TOO_LARGE)
		assert(!hello.complete && !hello.alpn_length && !hello.server_name[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum clienthello_result result;
	size_t cut_count;

	if (!size)
		return 0;
	cut_count = data[0] % 8;
	data++;
	size--;
	if (cut_count > size)
		cut_count = size;
	make_rules();
	result = check_segments(data + cut_count, size - cut_count, data, cut_count, NULL);
	check_segments(data + cut_count, size - cut_count, data, cut_count, &rules);
	check_description(data + cut_count, size - cut_count, result);
	check_rules(data + cut_count, size - cut_count);
	/* behind the first record header, the input is a message */
	if (size - cut_count > 5) {
		check_records(data + cut_count + 5, size - cut_count - 5, cut_count ? data[0] + 1u : 1, NULL);
		check_records(data + cut_count + 5, size - cut_count - 5, cut_count ? data[0] + 1u : 1, &rules);
	}
	return 0;
}
