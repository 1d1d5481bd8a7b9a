/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the counters for status, metrics and the log: loops over the table of engine/counters.h. No state. Main
 * thread.
 */
#ifndef ALPNBPF_OPERATE_COUNTER_OUTPUT_H
#define ALPNBPF_OPERATE_COUNTER_OUTPUT_H

#include "base/json.h"
#include "engine/counters.h"
#include "options/options.h"

/* Adds the counters of a group to the open object. `route`: for COUNTER_ROUTES only. */
void counters_write_json(struct json *json, const struct counters *counters, enum counter_group group,
			 enum route route);
/* "name value, name value"; for the larger groups without zeros, or "none". */
void counters_write_text(struct text *out, const struct counters *counters, enum counter_group group, enum route route);
/* All counters in Prometheus' text format; routes without a backend are omitted. */
void counters_write_metrics(struct text *out, const struct counters *counters, const struct options *options);
/* All counters as key=value, in lines that fit into the log. In rows with several elements, zeros are omitted. */
void counters_write_totals(struct text *out, const struct counters *counters);

/* "# HELP" and "# TYPE", for gauges as well. */
void counters_write_metric_head(struct text *out, const char *name, const char *type, const char *help);

#endif
