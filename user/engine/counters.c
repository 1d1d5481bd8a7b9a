// SPDX-License-Identifier: BSD-2-Clause
/* The table of counters: their names in status, metrics and the log. Read-only; any thread. */
#include "engine/counters.h"

#include "hello/describe.h"
#include "hello/rules.h"

static const char *hello_name(unsigned int result)
{
	return hello_result_name((enum clienthello_result)result);
}

static const char *route_of(unsigned int route)
{
	return route_name((enum route)route);
}

static const char *cause_name(unsigned int cause)
{
	return session_cause_name((enum session_cause)cause);
}

static const char *validation_name(unsigned int outcome)
{
	return validation_outcome_name((enum validation_outcome)outcome);
}

static const char *untakable_name(unsigned int why)
{
	static const char *const names[STEER_UNTAKABLES] = {
		[STEER_UNTAKABLE_ANSWERED] = "answered",       [STEER_UNTAKABLE_MPTCP] = "mptcp",
		[STEER_UNTAKABLE_MEMORY] = "memory",           [STEER_UNTAKABLE_DISPLACED] = "displaced",
		[STEER_UNTAKABLE_OUT_OF_STEP] = "out_of_step",
	};

	return names[why];
}

static const char *late_name(unsigned int why)
{
	static const char *const names[STEER_LATES] = {[STEER_LATE_RING] = "ring", [STEER_LATE_TABLE] = "table"};

	return names[why];
}

#define FIELD(field) .offset = offsetof(struct counters, field), .size = sizeof(((struct counters *)0)->field)

/* A counter that has the same name everywhere. */
#define EVENT(field, text)                                                                                             \
	{                                                                                                              \
		FIELD(field), .group = COUNTER_EVENTS, .name = #field, .total = #field,                                \
			      .metric = "alpnbpf_" #field "_total", .help = (text)                                     \
	}

/* An array with an element per route. */
#define ROUTED(field, status_name, metric_name, text)                                                                  \
	{                                                                                                              \
		FIELD(field), .group = COUNTER_ROUTES, .name = (status_name), .element_name = route_of,                \
			      .total = #field "_", .metric = (metric_name), .label = "route", .help = (text)           \
	}

const struct counter counter_table[] = {
	{FIELD(sessions), .group = COUNTER_SESSIONS, .name = "total", .total = "sessions",
	 .metric = "alpnbpf_connections_accepted_total", .help = "Client connections accepted or taken over."},
	{FIELD(hellos), .group = COUNTER_HELLOS, .element_name = hello_name, .total = "hello_",
	 .metric = "alpnbpf_hellos_total", .label = "result", .help = "Connections by what their first bytes were."},
	{FIELD(hello_silent), .group = COUNTER_HELLOS, .name = "silent", .total = "hello_silent",
	 .metric = "alpnbpf_hellos_total", .label = "result", .value = "silent"},
	{FIELD(hello_timeout), .group = COUNTER_HELLOS, .name = "timed_out", .total = "hello_timeout",
	 .metric = "alpnbpf_hello_timeouts_total", .help = "ClientHellos not complete within --hello-timeout."},
	ROUTED(routed, "sessions_total", "alpnbpf_sessions_total", "Sessions whose route was decided."),
	ROUTED(connected, "connections_total", "alpnbpf_backend_connections_total",
	       "Connections established to backends."),
	ROUTED(connect_failed, "connect_failures_total", "alpnbpf_backend_connect_errors_total",
	       "Sessions whose backend could not be reached."),
	{FIELD(validations), .group = COUNTER_VALIDATIONS, .element_name = validation_name, .total = "validation_",
	 .metric = "alpnbpf_acme_validations_total", .label = "outcome",
	 .help = "Sessions whose ClientHello asked for acme-tls/1, by outcome."},
	{FIELD(bytes_kernel), .group = COUNTER_BYTES, .name = "kernel", .total = "kernel_bytes",
	 .metric = "alpnbpf_bytes_total", .label = "path", .value = "kernel",
	 .help = "Bytes moved in both directions, by path: the kernel or user space."},
	{FIELD(bytes_user), .group = COUNTER_BYTES, .name = "user", .total = "user_bytes",
	 .metric = "alpnbpf_bytes_total", .label = "path", .value = "user"},
	{FIELD(trimmed), .group = COUNTER_BYTES, .name = "trimmed", .total = "trimmed_bytes",
	 .metric = "alpnbpf_trimmed_bytes_total", .help = "Duplicate bytes trimmed."},
	EVENT(acme_fallbacks, "Validations handed to the https backend."),
	EVENT(connect_retries, "Retries of all addresses of a backend."),
	EVENT(accept_backoffs, "Times accepting paused because descriptors or memory ran out."),
	EVENT(source_refused, "Connections refused by --max-per-source."),
	EVENT(stray_refused, "Connections made to a private listener directly."),
	EVENT(owner_refused,
	      "Connections to a backend that were not used because its listener belongs to another user."),
	EVENT(takeovers, "Connections taken over from the web server at their ClientHello."),
	EVENT(takeovers_failed, "Connections reset because neither alpnbpf nor the web server could continue them."),
	EVENT(held, "Handshakes held until the ClientHello."),
	EVENT(released,
	      "Connections given to the web server before their ClientHello: it came too late, or there was no timer for it."),
	EVENT(strangers, "Listeners not used because they belong to another user."),
	{FIELD(untakable), .group = COUNTER_UNTAKABLE, .element_name = untakable_name, .total = "untakable_",
	 .metric = "alpnbpf_untakable_total", .label = "reason",
	 .help = "Connections left to the web server though their ClientHello may have been for another route."},
	{FIELD(untakable_immovable), .group = COUNTER_UNTAKABLE, .name = "immovable", .total = "untakable_immovable",
	 .metric = "alpnbpf_untakable_total", .label = "reason", .value = "immovable"},
	{FIELD(untakable_resources), .group = COUNTER_UNTAKABLE, .name = "resources", .total = "untakable_resources",
	 .metric = "alpnbpf_untakable_total", .label = "reason", .value = "resources"},
	{FIELD(untakable_room), .group = COUNTER_UNTAKABLE, .name = "room", .total = "untakable_room",
	 .metric = "alpnbpf_untakable_total", .label = "reason", .value = "room"},
	{FIELD(late), .group = COUNTER_LATE, .element_name = late_name, .total = "late_",
	 .metric = "alpnbpf_late_total", .label = "reason",
	 .help = "Segments of ClientHellos for another route that came again, because there was no room."},
	{FIELD(late_room), .group = COUNTER_LATE, .name = "room", .total = "late_room", .metric = "alpnbpf_late_total",
	 .label = "reason", .value = "room"},
	{FIELD(late_network), .group = COUNTER_LATE, .name = "network", .total = "late_network",
	 .metric = "alpnbpf_late_total", .label = "reason", .value = "network"},
	EVENT(passes, "Times the kernel handed a flow back to user space."),
	{FIELD(steered), .group = COUNTER_EVENTS, .name = "steered", .total = "steered",
	 .metric = "alpnbpf_steered_connections_total",
	 .help = "Connections to the web server's port steered to alpnbpf."},
	EVENT(log_lines_lost, "Lines of the log that could not be written, because its reader was too slow or gone."),
	EVENT(log_lines_suppressed, "Lines of the log left out by a limit on lines that clients can cause."),
	{FIELD(reloads), .group = COUNTER_RELOADS, .name = "done", .total = "reloads",
	 .metric = "alpnbpf_reloads_total", .help = "Reloads that took effect."},
	{FIELD(reloads_failed), .group = COUNTER_RELOADS, .name = "failed", .total = "reloads_failed",
	 .metric = "alpnbpf_reload_errors_total", .help = "Reloads that were refused."},
	{FIELD(causes), .group = COUNTER_ENDS, .element_name = cause_name, .total = "end_",
	 .metric = "alpnbpf_sessions_ended_total", .label = "cause", .help = "Sessions ended, by cause."},
};

const size_t counter_table_size = sizeof(counter_table) / sizeof(counter_table[0]);

unsigned int counter_count(const struct counter *counter)
{
	return (unsigned int)(counter->size / sizeof(uint64_t));
}

uint64_t counter_value(const struct counter *counter, const struct counters *counters, unsigned int at)
{
	const uint64_t *first = (const uint64_t *)((const char *)counters + counter->offset);

	return first[at];
}

void counters_add(struct counters *sum, const struct counters *more)
{
	const uint64_t *from = (const uint64_t *)more;
	uint64_t *to = (uint64_t *)sum;

	for (size_t field = 0; field < sizeof(struct counters) / sizeof(uint64_t); field++)
		to[field] += from[field];
}
