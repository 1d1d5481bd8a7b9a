// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes the metrics: names and units follow Prometheus' conventions, and labels have few, fixed values. Owns nothing.
 * Main thread.
 */
#include "operate/metrics.h"

#include <string.h>
#include <sys/resource.h>

#include "operate/counter_output.h"
#include "operate/status.h"
#include "steering/mode.h"

static void write_gauge(struct text *out, const char *name, const char *help, uint64_t value)
{
	counters_write_metric_head(out, name, "gauge", help);
	text_add(out, "%s %llu\n", name, (unsigned long long)value);
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

static void write_live(struct text *out, const struct program *program, const struct snapshot *snapshot)
{
	static const char name[] = "alpnbpf_sessions";

	counters_write_metric_head(out, name, "gauge",
				   "Live sessions by route; undecided until the ClientHello is complete.");
	for (int route = ROUTE_UNDECIDED; route < ROUTES; route++)
		if (route == ROUTE_UNDECIDED || program->options.backends[route].count)
			text_add(out, "%s{route=\"%s\"} %llu\n", name, route_name((enum route)route),
				 (unsigned long long)snapshot->live_by_route[route]);
}

static void write_info(struct text *out, struct program *program)
{
	char mode[STEER_MODE_MAX];

	counters_write_metric_head(out, "alpnbpf_build_info", "gauge",
				   "Version, data plane and mode, as labels; always 1.");
	text_add(out, "alpnbpf_build_info{version=\"%s\",dataplane=\"%.*s\",mode=\"", ALPNBPF_VERSION,
		 (int)strcspn(program->dataplane_text, " "), program->dataplane_text);
	add_label(out, steer_mode(&program->engine.steer, mode, sizeof(mode)));
	text_add(out, "\"} 1\n");
}

static void write_sandbox(struct text *out, const struct sandbox_report *report)
{
	static const char name[] = "alpnbpf_sandbox";

	counters_write_metric_head(out, name, "gauge",
				   "1 if the stage holds; 0 if root was kept, or the kernel or container lacks it.");
	for (enum sandbox_stage stage = 0; stage < SANDBOX_STAGES; stage++)
		text_add(out, "%s{stage=\"%s\"} %d\n", name, sandbox_stage_name(stage), report->stages[stage].holds);
}

static void write_process(struct text *out, const struct program *program, const struct snapshot *snapshot)
{
	struct rlimit limit;

	counters_write_metric_head(out, "alpnbpf_uptime_seconds", "gauge", "Time since this process started.");
	text_add(out, "alpnbpf_uptime_seconds %.3f\n", (double)(monotonic_us() - program->started) / 1e6);
	write_gauge(out, "process_open_fds", "Open descriptors of the process that serves sessions.",
		    snapshot->descriptors);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		write_gauge(out, "process_max_fds", "Limit of descriptors.", limit.rlim_cur);
}

void metrics_write(struct text *out, struct program *program, const struct snapshot *snapshot)
{
	write_info(out, program);
	write_gauge(out, "alpnbpf_armed", "1 while new connections are inspected.",
		    arming_is_armed(&program->engine.steer.arming));
	write_gauge(
		out, "alpnbpf_takeovers_possible",
		"1 if connections can be taken over; 0 if hellos are not read in passing, or the repair helper has ended.",
		hello_watch_is_possible(&program->engine.steer.watch));
	write_gauge(out, "alpnbpf_takeovers_without_trace",
		    "1 if the web server's sockets can be removed by SOCK_DESTROY; 0 also if nothing is taken over.",
		    hello_watch_leaves_no_trace(&program->engine.steer.watch));
	write_gauge(out, "alpnbpf_workers", "Threads that serve sessions.", program->engine.running);
	write_gauge(out, "alpnbpf_sessions_max", "Limit of simultaneous sessions.", program->engine.session_limit);
	write_live(out, program, snapshot);
	counters_write_metrics(out, &snapshot->counters, &program->options);
	write_gauge(out, "alpnbpf_config_last_reload_successful", "0 if the last reload was refused.",
		    !program->reload.failed);
	write_sandbox(out, &program->sandbox);
	write_process(out, program, snapshot);
}
