// SPDX-License-Identifier: BSD-2-Clause
/* Updates the maps, the state shared with the programs, and the plan. No state of its own. Main thread. */
#include "steering/reload.h"

#include "steering/bypass.h"

/* Are the same addresses served in place? */
static bool same_in_place(const struct options *old, const struct options *new)
{
	unsigned int common = 0;

	for (unsigned int i = 0; i < old->listener_count; i++)
		for (unsigned int j = 0; old->in_place[i] && j < new->listener_count; j++)
			common += new->in_place[j] && address_equal(&old->listeners[i], &new->listeners[j]);
	return common == old->in_place_count && common == new->in_place_count;
}

bool steer_can_change(const struct steer *steer, const struct options *old, const struct options *new,
		      struct sentence *why)
{
	const char *what = NULL;

	if (!same_in_place(old, new))
		what = "the ports served in place";
	else if (plan_wants_bypass(old) != plan_wants_bypass(new))
		what = "whether connections are bypassed";
	else if (steer->maps.state && !plan_why_always(old) != !plan_why_always(new))
		what = "whether alpnbpf is armed always";
	else if (steer->plan.peername && !options_is_local_tcp(&new->backends[ROUTE_HTTPS]))
		what = "whether the web server is on this machine";
	return what ? sentence_refuse(why, "%s cannot change while alpnbpf runs; restart alpnbpf", what) : true;
}

/* sock_ops has the new addresses and owners; a listener that it has seen since is found again. */
static int find_https_anew(struct steer *steer)
{
	listeners_forget(&steer->tracker, STEER_HTTPS);
	return bypass_find(&steer->tracker);
}

static int change_https_port(struct steer *steer, unsigned int port)
{
	struct steer_state *state = steer->maps.state;

	/* Connections to the old port continue, and their server may still ask for the client's address. */
	state->https_port_before = state->https_port;
	state->https_port = (__u16)port;
	steer->plan.https_port = port;
	return steer->plan.bypass ? find_https_anew(steer) : 0;
}

static int change_acme_port(struct steer *steer, unsigned int port)
{
	steer->plan.acme_port = port;
	return steer->plan.why_always ? 0 : arming_find_anew(&steer->arming);
}

/* Have the addresses or the owners of this kind's listeners changed? */
static bool is_chosen_anew(enum steer_kind kind, const struct options *old, const struct options *new)
{
	enum route route = kind == STEER_ACME ? ROUTE_ACME : ROUTE_HTTPS;
	const struct owner *before = kind == STEER_ACME ? &old->acme_user : &old->https_user;
	const struct owner *now = kind == STEER_ACME ? &new->acme_user : &new->https_user;

	return before->kind != now->kind || before->uid != now->uid ||
	       !options_same_endpoint(&old->backends[route], &new->backends[route]);
}

static int change_listeners(struct steer *steer, const struct options *old, const struct options *new)
{
	unsigned int acme = plan_acme_port(new), https = plan_https_port(new);
	int error = 0;

	if (https != steer->plan.https_port)
		error = change_https_port(steer, https);
	else if (steer->plan.bypass && is_chosen_anew(STEER_HTTPS, old, new))
		error = find_https_anew(steer);
	if (!error && (acme != steer->plan.acme_port || is_chosen_anew(STEER_ACME, old, new)))
		error = change_acme_port(steer, acme);
	return error;
}

int steer_change(struct steer *steer, const struct options *old, const struct options *new)
{
	int error;

	if (!steer->maps.state)
		return 0;
	hello_watch_allow(&steer->watch, new);
	error = maps_fill(&steer->maps, &steer->plan, old, new);
	if (!error)
		error = change_listeners(steer, old, new);
	if (error && maps_fill(&steer->maps, &steer->plan, new, old) == 0)
		change_listeners(steer, new, old);
	if (!error && plan_why_always(new)) /* the reason may be another one */
		steer->plan.why_always = plan_why_always(new);
	return error;
}
