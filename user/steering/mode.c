// SPDX-License-Identifier: BSD-2-Clause
/* The mode, for the ready line, check, status and metrics. No state; main thread. */
#include "steering/mode.h"

#include <stdio.h>

#include "steering/bypass.h"

static const char *rule_name(const struct steer_plan *plan)
{
	if (plan->in_place)
		return plan->bypass ? "in place and with bypass" : "in place";
	return plan->bypass ? "with bypass" : "front";
}

const char *steer_mode(const struct steer *steer, char *out, size_t size)
{
	const struct steer_plan *plan = &steer->plan;
	char armed[160] = "", missing[256] = "", traces[40] = "", name[ADDRESS_TEXT_MAX];
	struct address untracked;

	if (steer->maps.state && plan->why_always)
		snprintf(armed, sizeof(armed), ", armed always (%s)", plan->why_always);
	else if (steer->maps.state)
		snprintf(armed, sizeof(armed), ", armed while port %u has a listener", plan->acme_port);
	if (bypass_has_untracked(&steer->tracker, &untracked))
		snprintf(missing, sizeof(missing), ", but no bypass to %s: its listener cannot be tracked (%s)",
			 address_format(&untracked, name, sizeof(name)),
			 listeners_why_untracked(&steer->tracker, STEER_HTTPS));
	if (hello_watch_leaves_no_trace(&steer->watch))
		snprintf(traces, sizeof(traces), ", takeovers leave no trace");
	else if (hello_watch_is_possible(&steer->watch))
		snprintf(traces, sizeof(traces), ", %s", removal_traces(&steer->watch.removal));
	snprintf(out, size, "%s%s%s%s%s%s", rule_name(plan), armed, missing,
		 hello_watch_is_possible(&steer->watch) ? ", hellos read in passing" : "", traces,
		 plan->peername      ? ", clients shown by peername"
		 : plan->transparent ? ", clients shown by transparent connections"
				     : "");
	return out;
}
