/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counters as status, metrics and the log show them: loops over the table of engine/counters.h. Holds no state;
 * the main thread uses it.
 */
#ifndef ALPNBPF_OPERATE_COUNTER_OUTPUT_H
#define ALPNBPF_OPERATE_COUNTER_OUTPUT_H

#include "base/json.h"
#include "engine/counters.h"
#include "options/options.h"

/* The members of a group, into the object that is open. COUNTER_ROUTES: those of one route; else `route` is unused. */
void counters_write_json(struct json *json, const struct counters *counters, enum counter_group group,
			 enum route route);
/* "name value, name value"; of the larger groups only what is not zero, or "none". */
void counters_write_text(struct text *out, const struct counters *counters, enum counter_group group, enum route route);
/* All, in Prometheus' text format; of the routes only those with a backend. */
void counters_write_metrics(struct text *out, const struct counters *counters, const struct options *options);
/* All, as key=value: lines that each fit into a line of the log. Of rows with several elements, only what is not 0. */
void counters_write_totals(struct text *out, const struct counters *counters);

/* "# HELP" and "# TYPE", for what is no counter as well. */
void counters_write_metric_head(struct text *out, const char *name, const char *type, const char *help);

#endif
