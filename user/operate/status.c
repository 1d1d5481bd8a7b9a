// SPDX-License-Identifier: BSD-2-Clause
/* Writes the status: one function collects the facts, and two write them. Owns nothing. Main thread. */
#include "operate/status.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/shared.h"
#include "engine/unreachable.h"
#include "steering/mode.h"
#include "steering/owners.h"
#include "base/json.h"
#include "operate/counter_output.h"

struct facts {
	struct program *program;
	const struct snapshot *snapshot;
	uint64_t now;      /* us */
	const char *armed; /* why it is armed; NULL: it is not */
	unsigned int descriptors;
	rlim_t descriptor_limit;
};

static const char *const phase_names[] = {
	[PROGRAM_STARTING] = "starting", [PROGRAM_RUNNING] = "running", [PROGRAM_SETTLING] = "draining",
	[PROGRAM_DRAINING] = "draining", [PROGRAM_ENDING] = "ending",   [PROGRAM_COMMAND] = "ending"};

static void collect_facts(struct facts *facts, struct program *program, const struct snapshot *snapshot)
{
	struct rlimit limit;

	*facts = (struct facts){.program = program,
				.snapshot = snapshot,
				.now = monotonic_us(),
				.armed = arming_reason(&program->engine.steer.arming)};
	facts->descriptors = (unsigned int)snapshot->descriptors;
	facts->descriptor_limit = getrlimit(RLIMIT_NOFILE, &limit) ? 0 : limit.rlim_cur;
}

static double seconds_since(const struct facts *facts, uint64_t at)
{
	return facts->now > at ? (double)(facts->now - at) / 1e6 : 0;
}

static double armed_for(const struct facts *facts)
{
	const struct steer *steer = &facts->program->engine.steer;

	return seconds_since(facts, steer->arming.was_armed ? steer->arming.armed_at : facts->program->started);
}

/* "up", "down" or "unknown", by the last connection attempt. */
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

/* Whose listeners are used for a route. NULL: anybody's, because that does not matter there. */
static const char *owners_text(const struct program *program, enum route route, char *out, size_t size)
{
	const struct steer *steer = &program->engine.steer;
	struct steer_owners owners = program->engine.owners.of[route];

	if (!program->engine.owners.asked[route] || (route == ROUTE_HTTPS && program->options.in_place_count))
		return NULL;
	if (*steer->asker.why_not.text)
		return "anybody, because that cannot be asked for";
	owners.first = atomic_load(&program->engine.shared->first_owners[route]);
	if (route == ROUTE_HTTPS && steer->maps.state && owners.first == STEER_NO_OWNER)
		owners.first = __atomic_load_n(&steer->maps.state->owners[STEER_HTTPS].first, __ATOMIC_RELAXED);
	return owners_format(&owners, route, out, size);
}

/* --- JSON --- */

static void status_json_routes(struct json *json, const struct facts *facts)
{
	const struct snapshot *snapshot = facts->snapshot;
	char whose[OWNERS_TEXT_MAX];
	const char *owners;

	json_begin_array(json, "routes");
	for (int route = ROUTE_HTTPS; route < ROUTES; route++) {
		const struct backend_state *state = &snapshot->backends[route];

		if (!is_in_use(facts->program, route))
			continue;
		json_begin_object(json, NULL);
		json_string(json, "name", route_name((enum route)route));
		json_string(json, "backend", facts->program->options.backends[route].text);
		owners = owners_text(facts->program, (enum route)route, whose, sizeof(whose));
		if (owners)
			json_string(json, "listeners_of", owners);
		json_string(json, "state", state_name(state));
		if (state->connected_at)
			json_real(json, "connected_seconds_ago", seconds_since(facts, state->connected_at));
		if (state->failed_at) {
			json_real(json, "failed_seconds_ago", seconds_since(facts, state->failed_at));
			json_string(json, "error", unreachable_text(state->error));
		}
		json_number(json, "sessions", snapshot->live_by_route[route]);
		counters_write_json(json, &snapshot->counters, COUNTER_ROUTES, (enum route)route);
		json_end_object(json);
	}
	json_end_array(json);
}

/* The groups with an object, or a line, of their own. */
static const struct {
	enum counter_group group;
	const char *name;
} groups[] = {
	{COUNTER_BYTES, "bytes"},   {COUNTER_HELLOS, "hellos"},       {COUNTER_VALIDATIONS, "validations"},
	{COUNTER_ENDS, "ends"},     {COUNTER_UNTAKABLE, "untakable"}, {COUNTER_LATE, "late"},
	{COUNTER_EVENTS, "events"},
};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static void status_json_counters(struct json *json, const struct counters *counters)
{
	for (size_t i = 0; i < GROUPS; i++) {
		json_begin_object(json, groups[i].name);
		counters_write_json(json, counters, groups[i].group, ROUTE_UNDECIDED);
		json_end_object(json);
	}
}

static void status_json_listeners(struct json *json, const struct program *program)
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

static void status_json_takeovers(struct json *json, const struct hello_watch *watch)
{
	json_begin_object(json, "takeovers");
	json_bool(json, "possible", hello_watch_is_possible(watch));
	json_bool(json, "without_trace", hello_watch_leaves_no_trace(watch));
	if (watch->is_lost)
		json_string(json, "why_not", watch->cannot);
	else if (*watch->removal.why_trace)
		json_string(json, "why_not", watch->removal.why_trace);
	json_end_object(json);
}

static void status_json_sandbox(struct json *json, const struct sandbox_report *report)
{
	json_begin_object(json, "sandbox");
	for (enum sandbox_stage stage = 0; stage < SANDBOX_STAGES; stage++) {
		json_begin_object(json, sandbox_stage_name(stage));
		json_bool(json, "holds", report->stages[stage].holds);
		json_string(json, "is", report->stages[stage].text);
		json_end_object(json);
	}
	json_end_object(json);
}

static void status_write_json(struct text *out, const struct facts *facts)
{
	const struct program *program = facts->program;
	struct json json = {.out = out};
	char mode[STEER_MODE_MAX];

	json_begin_object(&json, NULL);
	json_string(&json, "version", ALPNBPF_VERSION);
	json_string(&json, "name", program->control.name);
	json_number(&json, "pid", (uint64_t)getpid());
	json_string(&json, "state", phase_names[program->phase]);
	json_real(&json, "uptime_seconds", seconds_since(facts, program->started));
	json_string(&json, "mode", steer_mode(&program->engine.steer, mode, sizeof(mode)));
	json_begin_object(&json, "armed");
	json_bool(&json, "now", facts->armed != NULL);
	if (facts->armed) {
		json_string(&json, "by", facts->armed);
		json_real(&json, "seconds", armed_for(facts));
	}
	json_end_object(&json);
	status_json_takeovers(&json, &program->engine.steer.watch);
	status_json_sandbox(&json, &program->sandbox);
	json_string(&json, "dataplane", program->dataplane_text);
	json_number(&json, "workers", program->engine.running);
	status_json_listeners(&json, program);
	status_json_routes(&json, facts);
	json_begin_object(&json, "sessions");
	json_number(&json, "now", facts->snapshot->live);
	counters_write_json(&json, &facts->snapshot->counters, COUNTER_SESSIONS, ROUTE_UNDECIDED);
	json_number(&json, "limit", program->engine.session_limit);
	json_end_object(&json);
	status_json_counters(&json, &facts->snapshot->counters);
	json_begin_object(&json, "descriptors");
	json_number(&json, "open", facts->descriptors);
	json_number(&json, "limit", facts->descriptor_limit);
	json_end_object(&json);
	json_begin_object(&json, "reloads");
	counters_write_json(&json, &facts->snapshot->counters, COUNTER_RELOADS, ROUTE_UNDECIDED);
	json_bool(&json, "last_failed", program->reload.failed);
	json_end_object(&json);
	json_number(&json, "watchers", server_followers(&program->servers));
	json_bool(&json, "complete", !facts->snapshot->failed);
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

static void status_text_group(struct text *out, const char *name, const struct counters *counters,
			      enum counter_group group)
{
	text_add(out, "%-12s ", name);
	counters_write_text(out, counters, group, ROUTE_UNDECIDED);
	text_add(out, "\n");
}

static void status_text_routes(struct text *out, const struct facts *facts)
{
	const struct snapshot *snapshot = facts->snapshot;

	for (int route = ROUTE_HTTPS; route < ROUTES; route++) {
		const struct backend_state *state = &snapshot->backends[route];

		if (!is_in_use(facts->program, route))
			continue;
		text_add(out, "route        %s -> %s: %s, sessions %llu now, ", route_name((enum route)route),
			 facts->program->options.backends[route].text, state_name(state),
			 (unsigned long long)snapshot->live_by_route[route]);
		counters_write_text(out, &snapshot->counters, COUNTER_ROUTES, (enum route)route);
		if (state->failed_at)
			text_add(out, "; %.0f s ago: %s", seconds_since(facts, state->failed_at),
				 unreachable_text(state->error));
		text_add(out, "\n");
	}
}

static void status_text_owners(struct text *out, const struct facts *facts)
{
	char whose[OWNERS_TEXT_MAX];

	for (int route = ROUTE_HTTPS; route < ROUTES; route++) {
		const char *owners = owners_text(facts->program, (enum route)route, whose, sizeof(whose));

		if (owners)
			text_add(out, "listeners of %s: %s\n", route_name((enum route)route), owners);
	}
}

static void status_text_sandbox(struct text *out, const struct sandbox_report *report)
{
	text_add(out, "sandbox      ");
	for (enum sandbox_stage stage = 0; stage < SANDBOX_STAGES; stage++)
		text_add(out, "%s%s: %s%s", stage ? "; " : "", sandbox_stage_name(stage),
			 report->stages[stage].holds || stage == SANDBOX_USER ? "" : "not limited, ",
			 report->stages[stage].text);
	text_add(out, "\n");
}

static void status_write_text(struct text *out, const struct facts *facts)
{
	const struct program *program = facts->program;
	const struct options *options = &program->options;
	const struct counters *counters = &facts->snapshot->counters;
	char name[ADDRESS_TEXT_MAX], mode[STEER_MODE_MAX];

	text_add(out, "alpnbpf      %s, name %s, pid %d, %s for ", ALPNBPF_VERSION, program->control.name,
		 (int)getpid(), phase_names[program->phase]);
	add_duration(out, seconds_since(facts, program->started));
	text_add(out, "\nmode         %s\narmed        ", steer_mode(&program->engine.steer, mode, sizeof(mode)));
	if (facts->armed) {
		text_add(out, "yes, for ");
		add_duration(out, armed_for(facts));
		text_add(out, ": %s\n", facts->armed);
	} else {
		text_add(out, "no\n");
	}
	if (program->engine.steer.watch.is_lost)
		text_add(out, "takeovers    impossible: %s; restart alpnbpf\n", program->engine.steer.watch.cannot);
	else if (*program->engine.steer.watch.removal.why_trace)
		text_add(out, "takeovers    %s traces: %s\n",
			 program->engine.steer.watch.removal.destroys ? "may leave" : "leave",
			 program->engine.steer.watch.removal.why_trace);
	status_text_sandbox(out, &program->sandbox);
	text_add(out, "data plane   %s; %u workers\nlisteners    ", program->dataplane_text, program->engine.running);
	for (unsigned int i = 0; i < options->listener_count; i++)
		text_add(out, "%s%s%s", i ? ", " : "", address_format(&options->listeners[i], name, sizeof(name)),
			 options->in_place[i] ? " in place" : "");
	text_add(out, "\n");
	status_text_routes(out, facts);
	status_text_owners(out, facts);
	text_add(out, "sessions     %llu now, %u at most, ", (unsigned long long)facts->snapshot->live,
		 program->engine.session_limit);
	counters_write_text(out, counters, COUNTER_SESSIONS, ROUTE_UNDECIDED);
	text_add(out, "\n");
	for (size_t i = 0; i < GROUPS; i++)
		status_text_group(out, groups[i].name, counters, groups[i].group);
	status_text_group(out, "reloads", counters, COUNTER_RELOADS);
	if (program->reload.failed)
		text_add(out, "             the last reload failed\n");
	text_add(out, "watchers     %u\n", server_followers(&program->servers));
	text_add(out, "descriptors  %u of %llu\n", facts->descriptors, (unsigned long long)facts->descriptor_limit);
	if (facts->snapshot->failed)
		text_add(out, "incomplete   a worker did not answer in time\n");
}

void status_write(struct text *out, struct program *program, const struct snapshot *snapshot, bool json)
{
	struct facts facts;

	collect_facts(&facts, program, snapshot);
	if (json)
		status_write_json(out, &facts);
	else
		status_write_text(out, &facts);
}
