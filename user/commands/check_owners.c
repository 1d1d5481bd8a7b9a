// SPDX-License-Identifier: BSD-2-Clause
/* `alpnbpf check`: whose listeners attach would use. Only the wording is here. Owns nothing. Main thread. */
#include "commands/findings.h"
#include "steering/owners.h"
#include "system/listening.h"
#include "system/ports.h"
#include "system/process.h"
#include "system/user_number.h"

#define LISTENERS_SHOWN 16

/* The first of other users counts if none of those that are named listens. The kernel's order stands for that of time.
 */
static void learn_first(struct steer_owners *owners, const struct listening *listeners, int count)
{
	if (owners->first != STEER_NO_OWNER)
		return;
	for (int i = 0; i < count; i++)
		if (owners_has_named(owners, user_in_kernel(listeners[i].uid)))
			owners->first = user_in_kernel(listeners[i].uid);
	if (count > 0 && owners->first == STEER_NO_OWNER)
		owners->first = user_in_kernel(listeners[0].uid);
}

static void check_owners_of(struct findings *findings, enum route route, const struct listener_asker *asker)
{
	const struct endpoint *backend = &findings->options->backends[route];
	struct steer_owners owners = owners_of_route(findings->options, route);
	struct listening listeners[LISTENERS_SHOWN];
	int count = listening_on(address_port(&backend->addresses[0]), listeners, LISTENERS_SHOWN);
	char name[ADDRESS_TEXT_MAX], user[USER_NUMBER_TEXT_MAX], whose[OWNERS_TEXT_MAX], holder[PROCESS_TEXT_MAX];
	const char *dashes = route < ROUTE_RULE ? "--" : "";

	count = count > LISTENERS_SHOWN ? LISTENERS_SHOWN : count;
	if (route != ROUTE_ACME)
		learn_first(&owners, listeners, count);
	if (*asker->why_not.text)
		add_finding(findings, VERDICT_WARN, "owners: %s -> %s: any listener there would be used: %s",
			    route_name(route), backend->text, asker->why_not.text);
	else
		add_finding(findings, VERDICT_OK, "owners: %s -> %s: used if it belongs to %s", route_name(route),
			    backend->text, owners_format(&owners, route, whose, sizeof(whose)));
	for (int i = 0; i < count; i++) {
		uint32_t uid = user_in_kernel(listeners[i].uid);

		if (owners_has_named(&owners, uid) || (route != ROUTE_ACME && uid == owners.first))
			continue;
		port_find_holder(&listeners[i].address, holder, sizeof(holder));
		add_finding(findings, VERDICT_WARN,
			    "owners: the listener on %s is not used for %s%s: it belongs to %s, %s; if that is right, "
			    "use --%s-user %u",
			    address_format(&listeners[i].address, name, sizeof(name)), dashes, route_name(route),
			    user_format(listeners[i].uid, user, sizeof(user)), holder,
			    route == ROUTE_ACME ? "acme" : "https", listeners[i].uid);
	}
}

/* In place, the web server's listeners are reached as they would be without alpnbpf. */
void check_owners(struct findings *findings, const struct listener_asker *asker)
{
	const struct options *options = findings->options;

	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++)
		if (owners_are_asked(options, route) && !(route == ROUTE_HTTPS && options->in_place_count))
			check_owners_of(findings, route, asker);
}
