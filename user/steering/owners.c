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

static bool same_owner(const struct owner *one, const struct owner *other)
{
	return one->kind == other->kind && one->uid == other->uid;
}

void owners_fill(struct steer_state *state, const struct options *old, const struct options *new)
{
	struct steer_owners acme = owners_of(&new->acme_user, plan_acme_port(new));
	struct steer_owners https = owners_of(&new->https_user, plan_https_port(new));
	const struct steer_owners *before = &state->owners[STEER_HTTPS];

	add_owner(&acme, geteuid());
	add_owner(&acme, own_user);
	state->owners[STEER_ACME] = acme;
	if (old && same_owner(&old->https_user, &new->https_user) && plan_https_port(old) == plan_https_port(new)) {
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
	bool named = owners->anyone;

	for (uint32_t i = 0; i < owners->count; i++)
		named = named || owners->uids[i] == owner;
	if (kind != STEER_HTTPS)
		return named;
	return __atomic_compare_exchange_n(&owners->first, &first, owner, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
	       named || first == owner;
}

static bool is_known(struct strangers *strangers, enum steer_kind kind, uint32_t uid)
{
	for (unsigned int i = 0; i < strangers->count; i++)
		if (strangers->uids[i] == uid && strangers->kinds[i] == kind)
			return true;
	if (strangers->count == STRANGERS_NAMED)
		return true;
	strangers->uids[strangers->count] = uid;
	strangers->kinds[strangers->count++] = kind;
	return false;
}

void strangers_note(struct strangers *strangers, enum steer_kind kind, const struct address *at, uint32_t uid)
{
	char name[ADDRESS_TEXT_MAX], holder[PROCESS_TEXT_MAX], user[USER_NUMBER_TEXT_MAX];
	const char *option = kind == STEER_ACME ? "acme" : "https";

	if (is_known(strangers, kind, uid))
		return;
	/* Without capabilities, the processes of other users cannot be seen. */
	if (!port_find_holder(at, holder, sizeof(holder)))
		snprintf(holder, sizeof(holder), "ss -tlnp shows its process");
	user_format(uid, user, sizeof(user));
	log_warn("the listener on %s is not used for --%s: it belongs to %s, %s; if that is right, use --%s-user %u",
		 address_format(at, name, sizeof(name)), option, user, holder, option, uid);
	if (strangers->count == STRANGERS_NAMED)
		log_warn("listeners of further users are only counted");
}
