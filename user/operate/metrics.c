// SPDX-License-Identifier: BSD-2-Clause
/* The metrics: names and units as Prometheus' conventions have them, labels of few and fixed values. */
#include "operate/metrics.h"

#include <string.h>
#include <sys/resource.h>

#include "steering/watch.h"
#include "operate/http.h"
#include "operate/status.h"
#include "engine/outcome.h"

/* --- the text format --- */

static void begin(struct text *out, const char *name, const char *type, const char *help)
{
	text_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void simple(struct text *out, const char *name, const char *type, const char *help, uint64_t value)
{
	begin(out, name, type, help);
	text_add(out, "%s %llu\n", name, (unsigned long long)value);
}

static void sample(struct text *out, const char *name, const char *label, const char *value, uint64_t number)
{
	text_add(out, "%s{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)number);
}

/* A label's value: backslash, quote and newline are escaped. */
static void add_label(struct text *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			text_add(out, "\\n");
		else if (*value == '"' || *value == '\\')
			text_add(out, "\\%c", *value);
		else
			text_add_bytes(out, value, 1);
	}
}

/* --- what is told --- */

static void write_routes(struct text *out, struct program *program, const char *name, const char *type,
			 const char *help, const uint64_t *values)
{
	begin(out, name, type, help);
	for (int route = ROUTE_HTTPS; route < ROUTES; route++)
		if (program->options.backends[route].count)
			sample(out, name, "route", route_name((enum route)route), values[route]);
}

static void write_hellos(struct text *out, const struct counters *counters)
{
	static const char name[] = "alpnbpf_hellos_total";

	begin(out, name, "counter", "First bytes of clients, by what they were.");
	sample(out, name, "result", "https", counters->hellos[CLIENTHELLO_HTTPS]);
	sample(out, name, "result", "acme", counters->hellos[CLIENTHELLO_ACME]);
	sample(out, name, "result", "rule", counters->hellos[CLIENTHELLO_RULE]);
	sample(out, name, "result", "not_tls", counters->hellos[CLIENTHELLO_NOT_TLS]);
	sample(out, name, "result", "malformed", counters->hellos[CLIENTHELLO_MALFORMED]);
	sample(out, name, "result", "too_large", counters->hellos[CLIENTHELLO_TOO_LARGE]);
	sample(out, name, "result", "incomplete", counters->hellos[CLIENTHELLO_MORE]);
	sample(out, name, "result", "silent", counters->hello_silent);
}

static void write_ends(struct text *out, const struct counters *counters)
{
	static const char ends[] = "alpnbpf_sessions_ended_total";
	static const char validations[] = "alpnbpf_acme_validations_total";

	begin(out, ends, "counter", "Sessions that have ended, by how.");
	for (int i = 0; i < CAUSES; i++)
		sample(out, ends, "cause", session_cause_name((enum session_cause)i), counters->causes[i]);
	begin(out, validations, "counter", "Sessions whose hello asked for acme-tls/1, by what became of them.");
	for (int i = 0; i < VALIDATIONS; i++)
		sample(out, validations, "outcome", validation_outcome_name((enum validation_outcome)i),
		       counters->validations[i]);
}

static void write_info(struct text *out, struct program *program)
{
	begin(out, "alpnbpf_build_info", "gauge", "The version, the data plane and the mode; always 1.");
	text_add(out, "alpnbpf_build_info{version=\"%s\",dataplane=\"%.*s\",mode=\"", ALPNBPF_VERSION,
		 (int)strcspn(program->dataplane_text, " "), program->dataplane_text);
	add_label(out, program->engine.steer.mode);
	text_add(out, "\"} 1\n");
}

static void write_process(struct text *out, struct program *program)
{
	struct rlimit limit;

	begin(out, "alpnbpf_uptime_seconds", "gauge", "How long this process has been at work.");
	text_add(out, "alpnbpf_uptime_seconds %.3f\n", (double)(monotonic_us() - program->started) / 1e6);
	simple(out, "process_open_fds", "gauge", "Open descriptors.", status_descriptors());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		simple(out, "process_max_fds", "gauge", "Limit of descriptors.", limit.rlim_cur);
}

bool metrics_write(struct text *out, struct program *program)
{
	static const char bytes[] = "alpnbpf_bytes_total";
	struct steer *steer = &program->engine.steer;
	const struct counters *counters;
	struct report report;

	report_collect(&report, &program->engine, REPORT_COUNTERS);
	if (report.failed)
		return false;
	counters = &report.counters;
	write_info(out, program);
	simple(out, "alpnbpf_armed", "gauge", "1 while new connections are looked into.", status_is_armed(program));
	if (steer->state)
		simple(out, "alpnbpf_steered_connections_total", "counter",
		       "Connections to the web server's port that were steered to alpnbpf.",
		       __atomic_load_n(&steer->state->steered, __ATOMIC_RELAXED));
	simple(out, "alpnbpf_workers", "gauge", "Threads that serve sessions.", program->engine.running);
	simple(out, "alpnbpf_sessions_max", "gauge", "Sessions there may be at once.",
	       atomic_load(&program->engine.configuration)->max_sessions);
	simple(out, "alpnbpf_connections_accepted_total", "counter", "Connections of clients.", counters->sessions);
	begin(out, "alpnbpf_sessions", "gauge", "Live sessions, by route; undecided before the hello is complete.");
	sample(out, "alpnbpf_sessions", "route", "undecided", report.live_by_route[ROUTE_UNDECIDED]);
	for (int route = ROUTE_HTTPS; route < ROUTES; route++)
		if (program->options.backends[route].count)
			sample(out, "alpnbpf_sessions", "route", route_name((enum route)route),
			       report.live_by_route[route]);
	write_routes(out, program, "alpnbpf_sessions_total", "counter", "Sessions whose route was decided.",
		     counters->routed);
	write_routes(out, program, "alpnbpf_backend_connections_total", "counter", "Connections made to backends.",
		     counters->connected);
	write_routes(out, program, "alpnbpf_backend_connect_errors_total", "counter",
		     "Sessions for which no connection to the backend could be made.", counters->connect_failed);
	write_hellos(out, counters);
	simple(out, "alpnbpf_hello_timeouts_total", "counter", "Hellos that were not complete in time.",
	       counters->hello_timeout);
	write_ends(out, counters);
	begin(out, bytes, "counter", "Bytes moved, both directions, by who moved them.");
	sample(out, bytes, "path", "kernel", counters->bytes_kernel);
	sample(out, bytes, "path", "user", counters->bytes_user);
	simple(out, "alpnbpf_trimmed_bytes_total", "counter", "Bytes that came twice, and were cut off.",
	       counters->trimmed);
	simple(out, "alpnbpf_passes_total", "counter", "Times a flow in the kernel asked for user space.",
	       counters->passes);
	simple(out, "alpnbpf_acme_fallbacks_total", "counter", "Validations that https got.", counters->acme_fallbacks);
	simple(out, "alpnbpf_connect_retries_total", "counter", "Rounds of connecting that were tried again.",
	       counters->connect_retries);
	simple(out, "alpnbpf_accept_backoffs_total", "counter", "Times accepting paused for want of descriptors.",
	       counters->accept_backoffs);
	simple(out, "alpnbpf_source_refused_total", "counter", "Connections refused by --max-per-source.",
	       counters->source_refused);
	simple(out, "alpnbpf_stray_refused_total", "counter", "Connections to a private listener from elsewhere.",
	       counters->stray_refused);
	simple(out, "alpnbpf_takeovers_total", "counter", "Connections taken over from the web server at their hello.",
	       counters->takeovers);
	simple(out, "alpnbpf_takeovers_failed_total", "counter", "Connections that were reset instead.",
	       counters->takeovers_failed);
	if (steer->watches)
		simple(out, "alpnbpf_untakable_total", "counter",
		       "Connections left to the web server though their hello was not, or may not have been, for it.",
		       hello_watch_untakable(steer));
	simple(out, "alpnbpf_reloads_total", "counter", "Reloads that took effect.", program->reloads[true]);
	simple(out, "alpnbpf_reload_errors_total", "counter", "Reloads that were refused.", program->reloads[false]);
	simple(out, "alpnbpf_config_last_reload_successful", "gauge", "0 if the last reload was refused.",
	       !program->last_reload_failed);
	write_process(out, program);
	report_free(&report);
	return !out->failed;
}

void metrics_answer(struct text *out, struct program *program, const char *request)
{
	bool head;
	enum http_status status = http_request_parse(request, &head);
	struct text body = {0};

	if (status == HTTP_OK && !metrics_write(&body, program))
		status = HTTP_UNAVAILABLE;
	if (status == HTTP_OK)
		http_answer(out, &body, head);
	else
		http_refuse(out, status);
	text_free(&body);
}
