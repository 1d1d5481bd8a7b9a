// SPDX-License-Identifier: BSD-2-Clause
/* The table of counters has every field once, and each row is in every output. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

#include "operate/counter_output.h"

#define FIELDS (sizeof(struct counters) / sizeof(uint64_t))

/* Each element gets a value that is no prefix or suffix of another number in the output. */
static uint64_t value_of(size_t field)
{
	return 7000000 + field;
}

static struct counters all_counted(void)
{
	uint64_t fields[FIELDS] = {0};
	struct counters counters;

	for (size_t i = 0; i < FIELDS; i++)
		fields[i] = value_of(i);
	memcpy(&counters, fields, sizeof(counters));
	return counters;
}

static size_t field_of(const struct counter *counter, unsigned int at)
{
	return counter->offset / sizeof(uint64_t) + at;
}

static void test_every_field_has_a_row(void **state)
{
	unsigned int rows[FIELDS] = {0};

	(void)state;
	for (size_t row = 0; row < counter_table_size; row++)
		for (unsigned int at = 0; at < counter_count(&counter_table[row]); at++)
			rows[field_of(&counter_table[row], at)]++;
	for (size_t field = 0; field < FIELDS; field++)
		assert_int_equal(rows[field], 1);
}

static void test_every_row_has_its_names(void **state)
{
	(void)state;
	for (size_t row = 0; row < counter_table_size; row++) {
		const struct counter *counter = &counter_table[row];

		assert_non_null(counter->total);
		assert_non_null(counter->metric);
		assert_int_equal(strncmp(counter->metric, "alpnbpf_", 8), 0);
		assert_string_equal(counter->metric + strlen(counter->metric) - 6, "_total");
		assert_true(counter->name || counter->element_name);
		assert_int_equal(counter_count(counter) > 1, counter->element_name != NULL);
		assert_true(!counter->element_name || counter->label);
		/*
		 * A row without help is another sample of the metric before it: the samples of a metric are adjacent.
		 */
		if (!counter->help)
			assert_string_equal(counter->metric, counter_table[row - 1].metric);
		else
			assert_true(row == 0 || strcmp(counter->metric, counter_table[row - 1].metric) != 0);
	}
}

/* "name value", not as part of a longer name or value. */
static void __attribute__((format(printf, 2, 0)))
assert_has(const struct text *text, const char *format, const char *name, const char *element, size_t field)
{
	char wanted[256];
	const char *found;

	snprintf(wanted, sizeof(wanted), format, name, element, (unsigned long long)value_of(field));
	found = strstr(text->bytes, wanted);
	if (!found || !strchr(", \n}", found[strlen(wanted)]))
		fail_msg("no \"%s\" in: %s", wanted, text->bytes);
}

static bool is_route_in_use(const struct counter *counter, unsigned int at)
{
	return counter->group != COUNTER_ROUTES || at == ROUTE_HTTPS || at == ROUTE_RULE;
}

static void test_each_is_in_every_output(void **state)
{
	static struct options options;
	struct counters counters = all_counted();
	struct text metrics = {0}, totals = {0}, text = {0}, json_text = {0};
	struct json json = {.out = &json_text};

	(void)state;
	options.backends[ROUTE_HTTPS].count = options.backends[ROUTE_RULE].count = 1;
	counters_write_metrics(&metrics, &counters, &options);
	counters_write_totals(&totals, &counters);
	json_begin_object(&json, NULL);
	for (int group = 0; group < COUNTER_GROUPS; group++)
		for (unsigned int route = 0; route < (group == COUNTER_ROUTES ? ROUTES : 1); route++) {
			counters_write_json(&json, &counters, (enum counter_group)group, (enum route)route);
			counters_write_text(&text, &counters, (enum counter_group)group, (enum route)route);
			text_add(&text, "\n");
		}
	json_end_object(&json);
	for (size_t row = 0; row < counter_table_size; row++) {
		const struct counter *counter = &counter_table[row];

		for (unsigned int at = 0; at < counter_count(counter); at++) {
			const char *element = counter->element_name ? counter->element_name(at) : "";
			const char *name = counter->name ? counter->name : element;
			size_t field = field_of(counter, at);
			char labels[128];

			assert_has(&totals, "%s%s=%llu", counter->total, element, field);
			assert_has(&text, "%s%s %llu", name, "", field);
			assert_has(&json_text, "\"%s\"%s:%llu", name, "", field);
			labels[0] = '\0';
			if (counter->label)
				snprintf(labels, sizeof(labels), "{%s=\"%s\"}", counter->label,
					 counter->value ? counter->value : element);
			if (is_route_in_use(counter, at))
				assert_has(&metrics, "%s%s %llu", counter->metric, labels, field);
		}
	}
	text_free(&metrics);
	text_free(&totals);
	text_free(&text);
	text_free(&json_text);
}

/* Sums are per row. */
static void test_sums(void **state)
{
	struct counters sum = {0}, one = all_counted();

	(void)state;
	counters_add(&sum, &one);
	counters_add(&sum, &one);
	for (size_t row = 0; row < counter_table_size; row++)
		for (unsigned int at = 0; at < counter_count(&counter_table[row]); at++)
			assert_int_equal(counter_value(&counter_table[row], &sum, at),
					 2 * value_of(field_of(&counter_table[row], at)));
}

/* Counters with many rows omit those that are zero: log lines stay short. */
static void test_zeros(void **state)
{
	struct counters none = {0}, all = all_counted();
	struct text out = {0};

	(void)state;
	counters_write_text(&out, &none, COUNTER_HELLOS, ROUTE_UNDECIDED);
	text_add(&out, "|");
	counters_write_text(&out, &none, COUNTER_BYTES, ROUTE_UNDECIDED);
	assert_string_equal(out.bytes, "none|kernel 0, user 0, trimmed 0");
	text_free(&out);
	counters_write_totals(&out, &none);
	assert_null(strstr(out.bytes, "end_"));
	assert_non_null(strstr(out.bytes, "sessions=0 "));
	text_free(&out);
	counters_write_totals(&out, &all);
	for (const char *line = out.bytes; *line; line = strchr(line, '\n') + 1)
		assert_in_range(strchr(line, '\n') - line, 1, 900);
	text_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_has_a_row),
		cmocka_unit_test(test_every_row_has_its_names),
		cmocka_unit_test(test_each_is_in_every_output),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
