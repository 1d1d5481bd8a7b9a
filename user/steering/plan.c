// SPDX-License-Identifier: BSD-2-Clause
/* Derives the plan from the options alone. No state. Main thread. */
#include "steering/plan.h"

#include <string.h>

const char *plan_why_always(const struct options *options)
{
	if (options->arm == ARM_ALWAYS)
		return "--arm always";
	if (options->routes.count)
		return "--route is given";
	if (!options_is_local_tcp(&options->backends[ROUTE_ACME]))
		return "--acme is not a TCP port of this machine, so its listener cannot be seen";
	return NULL;
}

const char *plan_why_no_watch(const struct options *options)
{
	if (options->inspect == INSPECT_STEER)
		return "--inspect steer";
	if (options->routes.count)
		return "--route is given";
	if (options->proxy[ROUTE_HTTPS] != PROXY_NONE)
		return "the web server gets a PROXY header";
	if (!options->in_place_count && !plan_wants_bypass(options))
		return "no connection goes directly to the web server, in place or by a bypass";
	return NULL;
}

bool plan_wants_bypass(const struct options *options)
{
	return options->bypass && options->in_place_count < options->listener_count &&
	       options->proxy[ROUTE_HTTPS] == PROXY_NONE && options_is_local_tcp(&options->backends[ROUTE_HTTPS]) &&
	       !plan_why_always(options);
}

unsigned int plan_acme_port(const struct options *options)
{
	const struct endpoint *acme = &options->backends[ROUTE_ACME];

	return options_is_local_tcp(acme) ? address_port(&acme->addresses[0]) : 0;
}

bool plan_acme_anywhere(const struct options *options)
{
	const char *text = options->backends[ROUTE_ACME].text;

	return *text && text[strspn(text, "0123456789")] == '\0';
}

unsigned int plan_https_port(const struct options *options)
{
	return address_port(&options->backends[ROUTE_HTTPS].addresses[0]);
}

struct steer_plan plan_make(const struct options *options, unsigned int workers, unsigned int max_sessions)
{
	struct steer_plan plan = {
		.workers = workers,
		.max_sessions = max_sessions,
		.in_place = options->in_place_count > 0,
		.bypass = plan_wants_bypass(options),
		.transparent = options->client_address == CLIENT_ADDRESS_TRANSPARENT,
		.why_always = plan_why_always(options),
		.acme_port = plan_acme_port(options),
		.https_port = plan_https_port(options),
	};

	plan.peername = options->client_address == CLIENT_ADDRESS_PEERNAME ||
			(options->client_address == CLIENT_ADDRESS_AUTO && (plan.in_place || plan.bypass));
	return plan;
}

bool plan_is_empty(const struct steer_plan *plan)
{
	return !plan->in_place && !plan->bypass && !plan->peername;
}
