// SPDX-License-Identifier: BSD-2-Clause
/* Writes the status: one function collects the facts, and two write them. */
#include "operate/status.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "steering/arming.h"
#include "steering/watch.h"
#include "base/json.h"
#include "engine/outcome.h"

struct facts {
	struct program *program;
	struct report report;
	uint64_t now; /* us */
	bool armed;
	unsigned int descriptors;
	rlim_t descriptor_limit;
};

static const char *const phase_names[] = {[PROGRAM_STARTING] = "starting",
					  [PROGRAM_RUNNING] = "running",
					  [PROGRAM_DRAINING] = "draining",
					  [PROGRAM_ENDING] = "ending"};

static const char *const hello_names[] = {
	[CLIENTHELLO_MORE] = "incomplete", [CLIENTHELLO_HTTPS] = "https",         [CLIENTHELLO_ACME] = "acme",
	[CLIENTHELLO_NOT_TLS] = "not_tls", [CLIENTHELLO_MALFORMED] = "malformed", [CLIENTHELLO_TOO_LARGE] = "too_large",
	[CLIENTHELLO_RULE] = "rule",
};

unsigned int status_descriptors(void)
{
	struct stat status;
	unsigned int count = 0;
	DIR *directory;

	/* Since 6.2 the size of this directory is their number. */
	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (unsigned int)status.st_size;
	directory = opendir("/proc/self/fd");
	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count > 3 ? count - 3 : 0; /* . and .., and the directory itself */
}

bool status_is_armed(struct program *program)
{
	struct steer *steer = &program->engine.steer;

	return !steer->state || arming_is_armed(steer);
}

static void collect(struct facts *facts, struct program *program)
{
	struct rlimit limit;

	*facts = (struct facts){.program = program, .now = monotonic_us(), .armed = status_is_armed(program)};
	report_collect(&facts->report, &program->engine, REPORT_COUNTERS);
	facts->descriptors = status_descriptors();
	facts->descriptor_limit = getrlimit(RLIMIT_NOFILE, &limit) ? 0 : limit.rlim_cur;
}

/* Why it is armed; "" if it is not. */
static const char *armed_by(const struct facts *facts)
{
	const struct steer *steer = &facts->program->engine.steer;

	if (!facts->armed)
		return "";
	if (!steer->state)
		return "every connection goes through alpnbpf";
	if (steer->armed_always)
		return steer->armed_always;
	return *steer->armed_by ? steer->armed_by : "a listener on the ACME port";
}

static double seconds_since(const struct facts *facts, uint64_t at)
{
	return facts->now > at ? (double)(facts->now - at) / 1e6 : 0;
}

static double armed_for(const struct facts *facts)
{
	const struct steer *steer = &facts->program->engine.steer;

	return seconds_since(facts, steer->was_armed ? steer->armed_at : facts->program->started);
}

/* "up", "down" or "unknown": as the last connection to it went. */
static const char *state_name(const struct backend_state *state)
{
	if (!state->connected_at && !state->failed_at)
		return "unknown";
	return state->connected_at > state->failed_at ? "up" : "down";
}

static bool is_in_use(const struct program *program, int route)
{
	return program->options.backends[route].count > 0;
}

/* --- JSON --- */

static void write_json_routes(struct json *json, const struct facts *facts)
{
	const struct report *report = &facts->report;

	json_begin_array(json, "routes");
	for (int route = ROUTE_HTTPS; route < ROUTES; route++) {
		const struct backend_state *state = &report->backends[route];

		if (!is_in_use(facts->program, route))
			continue;
		json_begin_object(json, NULL);
		json_string(json, "name", route_name((enum route)route));
		json_string(json, "backend", facts->program->options.backends[route].text);
		json_string(json, "state", state_name(state));
		if (state->connected_at)
			json_real(json, "connected_seconds_ago", seconds_since(facts, state->connected_at));
		if (state->failed_at) {
			json_real(json, "failed_seconds_ago", seconds_since(facts, state->failed_at));
			json_string(json, "error", strerror(-state->error));
		}
		json_number(json, "sessions", report->live_by_route[route]);
		json_number(json, "sessions_total", report->counters.routed[route]);
		json_number(json, "connections_total", report->counters.connected[route]);
		json_number(json, "connect_failures_total", report->counters.connect_failed[route]);
		json_end_object(json);
	}
	json_end_array(json);
}

static void write_json_counters(struct json *json, const struct facts *facts)
{
	const struct counters *counters = &facts->report.counters;

	json_begin_object(json, "bytes");
	json_number(json, "kernel", counters->bytes_kernel);
	json_number(json, "user", counters->bytes_user);
	json_number(json, "trimmed", counters->trimmed);
	json_end_object(json);
	json_begin_object(json, "hellos");
	for (size_t i = 0; i < sizeof(hello_names) / sizeof(hello_names[0]); i++)
		json_number(json, hello_names[i], counters->hellos[i]);
	json_number(json, "timed_out", counters->hello_timeout);
	json_number(json, "silent", counters->hello_silent);
	json_end_object(json);
	json_begin_object(json, "validations");
	for (int i = 0; i < VALIDATIONS; i++)
		json_number(json, validation_outcome_name((enum validation_outcome)i), counters->validations[i]);
	json_end_object(json);
	json_begin_object(json, "ends");
	for (int i = 0; i < CAUSES; i++)
		json_number(json, session_cause_name((enum session_cause)i), counters->causes[i]);
	json_end_object(json);
	json_begin_object(json, "events");
	json_number(json, "acme_fallbacks", counters->acme_fallbacks);
	json_number(json, "connect_retries", counters->connect_retries);
	json_number(json, "accept_backoffs", counters->accept_backoffs);
	json_number(json, "source_refused", counters->source_refused);
	json_number(json, "stray_refused", counters->stray_refused);
	json_number(json, "takeovers", counters->takeovers);
	json_number(json, "takeovers_failed", counters->takeovers_failed);
	json_number(json, "untakable", hello_watch_untakable(&facts->program->engine.steer));
	json_number(json, "passes", counters->passes);
	json_end_object(json);
}

static void write_json_listeners(struct json *json, const struct program *program)
{
	const struct options *options = &program->options;
	char name[ADDRESS_TEXT_MAX];

	json_begin_array(json, "listeners");
	for (unsigned int i = 0; i < options->listener_count; i++) {
		json_begin_object(json, NULL);
		json_string(json, "address", address_format(&options->listeners[i], name, sizeof(name)));
		json_bool(json, "in_place", options->in_place[i]);
		json_end_object(json);
	}
	json_end_array(json);
}

static void write_json(struct text *out, const struct facts *facts)
{
	const struct program *program = facts->program;
	struct json json = {.out = out};

	json_begin_object(&json, NULL);
	json_string(&json, "version", ALPNBPF_VERSION);
	json_string(&json, "name", program->control.name);
	json_number(&json, "pid", (uint64_t)getpid());
	json_string(&json, "state", phase_names[program->phase]);
	json_real(&json, "uptime_seconds", seconds_since(facts, program->started));
	json_string(&json, "mode", program->engine.steer.mode);
	json_begin_object(&json, "armed");
	json_bool(&json, "now", facts->armed);
	if (facts->armed) {
		json_string(&json, "by", armed_by(facts));
		json_real(&json, "seconds", armed_for(facts));
	}
	json_end_object(&json);
	json_string(&json, "dataplane", program->dataplane_text);
	json_number(&json, "workers", program->engine.running);
	write_json_listeners(&json, program);
	write_json_routes(&json, facts);
	json_begin_object(&json, "sessions");
	json_number(&json, "now", facts->report.live);
	json_number(&json, "total", facts->report.counters.sessions);
	json_number(&json, "limit", atomic_load(&program->engine.configuration)->max_sessions);
	json_end_object(&json);
	write_json_counters(&json, facts);
	json_begin_object(&json, "descriptors");
	json_number(&json, "open", facts->descriptors);
	json_number(&json, "limit", facts->descriptor_limit);
	json_end_object(&json);
	json_begin_object(&json, "reloads");
	json_number(&json, "done", program->reloads[true]);
	json_number(&json, "failed", program->reloads[false]);
	json_bool(&json, "last_failed", program->last_reload_failed);
	json_end_object(&json);
	json_number(&json, "watchers", server_followers(&program->servers));
	json_bool(&json, "complete", !facts->report.failed);
	json_end_object(&json);
	text_add(out, "\n");
}

/* --- text --- */

/* "3d 04:05:06" */
static void add_duration(struct text *out, double seconds)
{
	unsigned long whole = (unsigned long)seconds;

	if (whole >= 86400)
		text_add(out, "%lud ", whole / 86400);
	text_add(out, "%02lu:%02lu:%02lu", whole / 3600 % 24, whole / 60 % 60, whole % 60);
}

/* Those that are not zero, as "name value". */
static void add_count(struct text *out, const char **separator, const char *name, uint64_t value)
{
	if (!value)
		return;
	text_add(out, "%s%s %llu", *separator, name, (unsigned long long)value);
	*separator = ", ";
}

static void end_counts(struct text *out, const char *separator)
{
	text_add(out, "%s\n", *separator ? "" : "none");
}

static void write_text_counters(struct text *out, const struct facts *facts)
{
	const struct counters *counters = &facts->report.counters;
	const char *separator = "";

	text_add(out, "bytes        kernel %llu, user %llu, trimmed %llu\n", (unsigned long long)counters->bytes_kernel,
		 (unsigned long long)counters->bytes_user, (unsigned long long)counters->trimmed);
	text_add(out, "hellos       ");
	for (size_t i = 0; i < sizeof(hello_names) / sizeof(hello_names[0]); i++)
		add_count(out, &separator, hello_names[i], counters->hellos[i]);
	add_count(out, &separator, "timed_out", counters->hello_timeout);
	add_count(out, &separator, "silent", counters->hello_silent);
	end_counts(out, separator);
	separator = "";
	text_add(out, "validations  ");
	for (int i = 0; i < VALIDATIONS; i++)
		add_count(out, &separator, validation_outcome_name((enum validation_outcome)i),
			  counters->validations[i]);
	end_counts(out, separator);
	separator = "";
	text_add(out, "ends         ");
	for (int i = 0; i < CAUSES; i++)
		add_count(out, &separator, session_cause_name((enum session_cause)i), counters->causes[i]);
	end_counts(out, separator);
	separator = "";
	text_add(out, "events       ");
	add_count(out, &separator, "acme_fallbacks", counters->acme_fallbacks);
	add_count(out, &separator, "connect_retries", counters->connect_retries);
	add_count(out, &separator, "accept_backoffs", counters->accept_backoffs);
	add_count(out, &separator, "source_refused", counters->source_refused);
	add_count(out, &separator, "stray_refused", counters->stray_refused);
	add_count(out, &separator, "takeovers", counters->takeovers);
	add_count(out, &separator, "takeovers_failed", counters->takeovers_failed);
	add_count(out, &separator, "untakable", hello_watch_untakable(&facts->program->engine.steer));
	add_count(out, &separator, "passes", counters->passes);
	end_counts(out, separator);
}

static void write_text_routes(struct text *out, const struct facts *facts)
{
	const struct report *report = &facts->report;

	for (int route = ROUTE_HTTPS; route < ROUTES; route++) {
		const struct backend_state *state = &report->backends[route];

		if (!is_in_use(facts->program, route))
			continue;
		text_add(out, "route        %s -> %s: %s, sessions %llu now, %llu in all",
			 route_name((enum route)route), facts->program->options.backends[route].text, state_name(state),
			 (unsigned long long)report->live_by_route[route],
			 (unsigned long long)report->counters.routed[route]);
		if (state->failed_at)
			text_add(out, "; %.0f s ago: %s", seconds_since(facts, state->failed_at),
				 strerror(-state->error));
		text_add(out, "\n");
	}
}

static void write_text(struct text *out, const struct facts *facts)
{
	const struct program *program = facts->program;
	const struct options *options = &program->options;
	char name[ADDRESS_TEXT_MAX];

	text_add(out, "alpnbpf      %s, name %s, pid %d, %s for ", ALPNBPF_VERSION, program->control.name,
		 (int)getpid(), phase_names[program->phase]);
	add_duration(out, seconds_since(facts, program->started));
	text_add(out, "\nmode         %s\narmed        ", program->engine.steer.mode);
	if (facts->armed) {
		text_add(out, "yes, for ");
		add_duration(out, armed_for(facts));
		text_add(out, ": %s\n", armed_by(facts));
	} else {
		text_add(out, "no\n");
	}
	text_add(out, "data plane   %s; %u workers\nlisteners    ", program->dataplane_text, program->engine.running);
	for (unsigned int i = 0; i < options->listener_count; i++)
		text_add(out, "%s%s%s", i ? ", " : "", address_format(&options->listeners[i], name, sizeof(name)),
			 options->in_place[i] ? " in place" : "");
	text_add(out, "\n");
	write_text_routes(out, facts);
	text_add(out, "sessions     %llu now, %llu in all, %u at most\n", (unsigned long long)facts->report.live,
		 (unsigned long long)facts->report.counters.sessions,
		 atomic_load(&program->engine.configuration)->max_sessions);
	write_text_counters(out, facts);
	text_add(out, "reloads      %llu done, %llu failed%s\n", (unsigned long long)program->reloads[true],
		 (unsigned long long)program->reloads[false], program->last_reload_failed ? ", the last one too" : "");
	text_add(out, "watchers     %u\n", server_followers(&program->servers));
	text_add(out, "descriptors  %u of %llu\n", facts->descriptors, (unsigned long long)facts->descriptor_limit);
	if (facts->report.failed)
		text_add(out, "incomplete   a worker did not answer in time\n");
}

void status_write(struct text *out, struct program *program, bool json)
{
	struct facts facts;

	collect(&facts, program);
	if (json)
		write_json(out, &facts);
	else
		write_text(out, &facts);
	report_free(&facts.report);
}
