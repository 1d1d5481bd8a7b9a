// SPDX-License-Identifier: BSD-2-Clause
/*
 * The owners of listeners, in the state shared with the programs, and the warnings about other owners. Owns the number
 * of the user that alpnbpf will run as. Main thread.
 */
#include "steering/owners.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "system/ports.h"
#include "system/process.h"
#include "system/user_number.h"

static uint32_t own_user; /* 0: this process keeps the one that it has */

void owners_run_as(uint32_t uid)
{
	own_user = uid;
}

static void add_owner(struct steer_owners *owners, uint32_t uid)
{
	if (owners->count < STEER_OWNERS)
		owners->uids[owners->count++] = user_in_kernel(uid);
}

/* A port that only privileged processes can take needs no other proof. */
static struct steer_owners owners_of(const struct owner *choice, unsigned int port)
{
	struct steer_owners owners = {
		.anyone = choice->kind == OWNER_ANY || port < port_first_unprivileged(),
		.first = STEER_NO_OWNER,
	};

	add_owner(&owners, 0);
	if (choice->kind == OWNER_USER) {
		add_owner(&owners, choice->uid);
		owners.first = user_in_kernel(choice->uid); /* nobody else can become it */
	}
	return owners;
}

static const struct owner *choice_for(const struct options *options, enum route route)
{
	return route == ROUTE_ACME ? &options->acme_user : &options->https_user;
}

static bool has_local_tcp(const struct endpoint *backend)
{
	for (unsigned int i = 0; i < backend->count; i++)
		if (backend->addresses[i].sa.sa_family != AF_UNIX && address_is_local(&backend->addresses[i]))
			return true;
	return false;
}

bool owners_are_asked(const struct options *options, enum route route)
{
	const struct endpoint *backend = &options->backends[route];

	return choice_for(options, route)->kind != OWNER_ANY && has_local_tcp(backend) &&
	       address_port(&backend->addresses[0]) >= port_first_unprivileged();
}

struct steer_owners owners_of_route(const struct options *options, enum route route)
{
	struct steer_owners owners =
		owners_of(choice_for(options, route), address_port(&options->backends[route].addresses[0]));

	if (route == ROUTE_ACME) {
		add_owner(&owners, geteuid());
		add_owner(&owners, own_user);
	}
	return owners;
}

struct backend_owners owners_of_backends(const struct options *options)
{
	struct backend_owners owners = {.acme_anywhere = plan_acme_port(options) && plan_acme_anywhere(options)};

	for (enum route route = ROUTE_HTTPS; route < ROUTES; route++) {
		owners.asked[route] = owners_are_asked(options, route);
		owners.of[route] = owners_of_route(options, route);
	}
	return owners;
}

bool owners_has_named(const struct steer_owners *owners, uint32_t uid)
{
	for (uint32_t i = 0; i < owners->count; i++)
		if (owners->uids[i] == uid)
			return true;
	return owners->anyone;
}

bool owners_same_choice(const struct options *old, const struct options *new, enum route route)
{
	const struct owner *before = choice_for(old, route), *now = choice_for(new, route);

	return before->kind == now->kind && before->uid == now->uid;
}

/* Appends a user; returns the new length. */
static size_t add_user(char *out, size_t size, size_t length, uint32_t uid, const char *what)
{
	char user[USER_NUMBER_TEXT_MAX];

	user_format(user_from_kernel(uid), user, sizeof(user));
	if (length < size)
		length += (size_t)snprintf(out + length, size - length, "%s%s%s", length ? ", " : "", user, what);
	return length;
}

const char *owners_format(const struct steer_owners *owners, enum route route, char *out, size_t size)
{
	size_t length = 0;

	*out = '\0';
	for (uint32_t i = 0; i < owners->count; i++) {
		bool again = false;

		for (uint32_t before = 0; before < i; before++)
			again = again || owners->uids[before] == owners->uids[i];
		if (!again)
			length = add_user(out, size, length, owners->uids[i], "");
	}
	if (route == ROUTE_ACME || owners_has_named(owners, owners->first))
		return out;
	if (owners->first != STEER_NO_OWNER)
		add_user(out, size, length, owners->first, ", who listened first");
	else if (length < size)
		snprintf(out + length, size - length, ", or who listens first");
	return out;
}

void owners_fill(struct steer_state *state, const struct options *old, const struct options *new)
{
	struct steer_owners https = owners_of_route(new, ROUTE_HTTPS);
	const struct steer_owners *before = &state->owners[STEER_HTTPS];

	state->owners[STEER_ACME] = owners_of_route(new, ROUTE_ACME);
	if (old && owners_same_choice(old, new, ROUTE_HTTPS) && plan_https_port(old) == plan_https_port(new)) {
		https.first = before->first;
		https.learns = before->learns;
	}
	state->owners[STEER_HTTPS] = https;
}

void owners_learn(struct steer_state *state, enum steer_kind kind)
{
	if (kind == STEER_HTTPS)
		__atomic_store_n(&state->owners[kind].learns, 1, __ATOMIC_SEQ_CST);
}

bool owners_accept(struct steer_state *state, enum steer_kind kind, uint32_t uid)
{
	struct steer_owners *owners = &state->owners[kind];
	uint32_t owner = user_in_kernel(uid), first = STEER_NO_OWNER;
	bool named = owners_has_named(owners, owner);

	if (kind != STEER_HTTPS)
		return named;
	return __atomic_compare_exchange_n(&owners->first, &first, owner, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
	       named || first == owner;
}

bool strangers_is_known(const struct strangers *strangers, enum route route, uint32_t uid)
{
	for (unsigned int i = 0; i < strangers->count; i++)
		if (strangers->uids[i] == uid && strangers->routes[i] == route)
			return true;
	return strangers->count == STRANGERS_NAMED;
}

void strangers_note(struct strangers *strangers, enum route route, const struct address *at, uint32_t uid)
{
	char name[ADDRESS_TEXT_MAX], holder[PROCESS_TEXT_MAX], user[USER_NUMBER_TEXT_MAX];

	if (strangers_is_known(strangers, route, uid))
		return;
	strangers->uids[strangers->count] = uid;
	strangers->routes[strangers->count++] = route;
	/* Without capabilities, the processes of other users cannot be seen. */
	if (!port_find_holder(at, holder, sizeof(holder)))
		snprintf(holder, sizeof(holder), "ss -tlnp shows its process");
	user_format(uid, user, sizeof(user));
	log_warn("the listener on %s is not used for %s%s: it belongs to %s, %s; if that is right, use --%s-user %u",
		 address_format(at, name, sizeof(name)), route < ROUTE_RULE ? "--" : "", route_name(route), user,
		 holder, route == ROUTE_ACME ? "acme" : "https", uid);
	if (strangers->count == STRANGERS_NAMED)
		log_warn("listeners of further users are only counted");
}
