// SPDX-License-Identifier: BSD-2-Clause
/* The JSON writer: commas, escapes, invalid UTF-8; and the growing text below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/json.h"

static void test_structure(void **state)
{
	struct text out = {0};
	struct json json = {.out = &out};

	(void)state;
	json_begin_object(&json, NULL);
	json_string(&json, "a", "b");
	json_begin_array(&json, "list");
	json_number(&json, NULL, 0);
	json_number(&json, NULL, UINT64_MAX);
	json_begin_object(&json, NULL);
	json_end_object(&json);
	json_begin_array(&json, NULL);
	json_end_array(&json);
	json_end_array(&json);
	json_bool(&json, "yes", true);
	json_bool(&json, "no", false);
	json_null(&json, "null");
	json_string(&json, "none", NULL);
	json_real(&json, "seconds", 1.5);
	json_end_object(&json);
	assert_string_equal(out.bytes, "{\"a\":\"b\",\"list\":[0,18446744073709551615,{},[]],\"yes\":true,"
				       "\"no\":false,\"null\":null,\"none\":null,\"seconds\":1.500000}");
	assert_int_equal(out.length, strlen(out.bytes));
	text_free(&out);
}

static void check_string(const char *value, const char *expected)
{
	struct text out = {0};
	struct json json = {.out = &out};

	json_string(&json, NULL, value);
	assert_string_equal(out.bytes, expected);
	text_free(&out);
}

static void test_strings(void **state)
{
	(void)state;
	check_string("", "\"\"");
	check_string("a\"b\\c", "\"a\\\"b\\\\c\"");
	check_string("\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\"");
	check_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
	check_string("\xc2\x85", "\"\\u0085\"");                              /* a C1 control */
	check_string("\xff\xc0\x80x", "\"\\ufffd\\ufffd\\ufffdx\"");          /* never a byte of UTF-8; overlong */
	check_string("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");            /* a surrogate */
	check_string("\xe2\x82", "\"\\ufffd\\ufffd\"");                       /* cut off */
	check_string("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* beyond U+10FFFF */
}

static void test_growth(void **state)
{
	struct text out = {0};

	(void)state;
	for (int i = 0; i < 10000; i++)
		text_add(&out, "%d ", i % 10);
	assert_int_equal(out.length, 20000);
	assert_int_equal(strlen(out.bytes), 20000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(out.bytes[2 * i], '0' + i % 10);
	text_add(&out, "%s", "");
	assert_int_equal(out.length, 20000);
	assert_false(out.failed);
	text_free(&out);
	assert_null(out.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_growth),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
