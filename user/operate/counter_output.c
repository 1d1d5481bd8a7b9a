// SPDX-License-Identifier: BSD-2-Clause
/* Writes the counters: one loop over their table per output. No state. Main thread. */
#include "operate/counter_output.h"

#include <stdio.h>
#include <string.h>

#define TOTALS_LINE_MAX 800 /* with its prefix shorter than a log message may be */

/* --- status --- */

/* The elements of a row that belong to this group and route: from *first up to the one returned. */
static unsigned int counters_range(const struct counter *counter, enum route route, unsigned int *first)
{
	*first = counter->group == COUNTER_ROUTES ? (unsigned int)route : 0;
	return counter->group == COUNTER_ROUTES ? *first + 1 : counter_count(counter);
}

static const char *counters_status_name(const struct counter *counter, unsigned int at)
{
	return counter->name ? counter->name : counter->element_name(at);
}

void counters_write_json(struct json *json, const struct counters *counters, enum counter_group group, enum route route)
{
	for (size_t row = 0; row < counter_table_size; row++) {
		const struct counter *counter = &counter_table[row];
		unsigned int at, end = counters_range(counter, route, &at);

		for (; counter->group == group && at < end; at++)
			json_number(json, counters_status_name(counter, at), counter_value(counter, counters, at));
	}
}

/* Groups so large that their zeros would hide the rest. */
static bool counters_is_sparse(enum counter_group group)
{
	return group == COUNTER_HELLOS || group == COUNTER_VALIDATIONS || group == COUNTER_ENDS ||
	       group == COUNTER_UNTAKABLE || group == COUNTER_LATE || group == COUNTER_EVENTS;
}

void counters_write_text(struct text *out, const struct counters *counters, enum counter_group group, enum route route)
{
	const char *separator = "";

	for (size_t row = 0; row < counter_table_size; row++) {
		const struct counter *counter = &counter_table[row];
		unsigned int at, end = counters_range(counter, route, &at);

		for (; counter->group == group && at < end; at++) {
			uint64_t value = counter_value(counter, counters, at);

			if (!value && counters_is_sparse(group))
				continue;
			text_add(out, "%s%s %llu", separator, counters_status_name(counter, at),
				 (unsigned long long)value);
			separator = ", ";
		}
	}
	if (!*separator)
		text_add(out, "none");
}

/* --- metrics --- */

void counters_write_metric_head(struct text *out, const char *name, const char *type, const char *help)
{
	text_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool counters_has_element(const struct counter *counter, const struct options *options, unsigned int at)
{
	return counter->group != COUNTER_ROUTES || options->backends[at].count;
}

void counters_write_metrics(struct text *out, const struct counters *counters, const struct options *options)
{
	for (size_t row = 0; row < counter_table_size; row++) {
		const struct counter *counter = &counter_table[row];

		if (counter->help)
			counters_write_metric_head(out, counter->metric, "counter", counter->help);
		for (unsigned int at = 0; at < counter_count(counter); at++) {
			unsigned long long value = counter_value(counter, counters, at);

			if (!counters_has_element(counter, options, at))
				continue;
			if (counter->label)
				text_add(out, "%s{%s=\"%s\"} %llu\n", counter->metric, counter->label,
					 counter->value ? counter->value : counter->element_name(at), value);
			else
				text_add(out, "%s %llu\n", counter->metric, value);
		}
	}
}

/* --- the log --- */

void counters_write_totals(struct text *out, const struct counters *counters)
{
	size_t line = out->length; /* start of the current line */

	for (size_t row = 0; row < counter_table_size; row++) {
		const struct counter *counter = &counter_table[row];

		for (unsigned int at = 0; at < counter_count(counter); at++) {
			uint64_t value = counter_value(counter, counters, at);

			if (counter->element_name && !value)
				continue;
			if (out->length - line > TOTALS_LINE_MAX) {
				text_add(out, "\n");
				line = out->length;
			}
			text_add(out, "%s%s%s=%llu", out->length > line ? " " : "", counter->total,
				 counter->element_name ? counter->element_name(at) : "", (unsigned long long)value);
		}
	}
	text_add(out, "\n");
}
