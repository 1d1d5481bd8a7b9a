// SPDX-License-Identifier: BSD-2-Clause
/* Lists listeners as the kernel knows them, and compares with the maps. Main thread only. */
#include "steering/listeners.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "system/listening.h"

static int map_of(const struct steer *steer, enum steer_kind kind)
{
	return kind == STEER_ACME ? steer->acme_listeners : steer->https_listeners;
}

static unsigned int port_of(const struct steer *steer, enum steer_kind kind)
{
	return kind == STEER_ACME ? steer->acme_port : steer->https_port;
}

/* Would a connection to --https reach this listener? */
static bool may_be_https(const struct steer *steer, const struct address *listener)
{
	struct steer_endpoint at = steer_endpoint_from(listener);
	uint8_t present;

	at.port = 0;
	return address_is_wildcard(listener) || bpf_map_lookup_elem(steer->https_addresses, &at, &present) == 0;
}

/* Those of the kind, at most STEER_LISTENERS of them. Returns how many there are, maybe more; or -errno. */
static int list_kind(const struct steer *steer, enum steer_kind kind, struct listening listening[STEER_LISTENERS])
{
	int count = listening_on(port_of(steer, kind), listening, STEER_LISTENERS), listed, chosen = 0;

	if (count < 0 || kind == STEER_ACME)
		return count;
	listed = count < STEER_LISTENERS ? count : STEER_LISTENERS;
	for (int i = 0; i < listed; i++)
		if (may_be_https(steer, &listening[i].address))
			listening[chosen++] = listening[i];
	return chosen + count - listed;
}

/* The cookies of those that are tracked; returns their number. */
static unsigned int list_tracked(int map, uint64_t cookies[STEER_LISTENERS])
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		count += bpf_map_lookup_elem(map, &i, &cookies[count]) == 0;
	return count;
}

static bool is_tracked(uint64_t cookie, const uint64_t *cookies, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (cookies[i] == cookie)
			return true;
	return false;
}

/*
 * Moves those that are untracked to the front; returns their number. Without cookies (no sock_diag) only their number
 * is known.
 */
static unsigned int find_untracked(int map, struct listening *listening, unsigned int count)
{
	uint64_t cookies[STEER_LISTENERS];
	unsigned int tracked = list_tracked(map, cookies), untracked = 0;

	if (count && !listening[0].cookie)
		return tracked < count ? count - tracked : 0;
	for (unsigned int i = 0; i < count; i++) {
		struct listening this = listening[i];

		if (is_tracked(this.cookie, cookies, tracked))
			continue;
		listening[i] = listening[untracked];
		listening[untracked++] = this;
	}
	return untracked;
}

static void sum_up(const struct listening *listening, int count, unsigned int untracked, struct listeners *out)
{
	*out = (struct listeners){.count = (unsigned int)count, .untracked = untracked};
	if (count > STEER_LISTENERS) /* the map has no place for them */
		out->untracked += (unsigned int)count - STEER_LISTENERS;
	if (count)
		out->first = listening[0].address;
}

int listeners_look(const struct steer *steer, enum steer_kind kind, struct listeners *listeners)
{
	struct listening listening[STEER_LISTENERS] = {0};
	int count = list_kind(steer, kind, listening);
	unsigned int listed = count < STEER_LISTENERS ? (unsigned int)count : STEER_LISTENERS;

	if (count < 0)
		return count;
	sum_up(listening, count, find_untracked(map_of(steer, kind), listening, listed), listeners);
	return 0;
}

int listeners_find(struct steer *steer, enum steer_kind kind, struct listeners *listeners)
{
	struct listening listening[STEER_LISTENERS] = {0};
	int count = list_kind(steer, kind, listening), map = map_of(steer, kind);
	unsigned int listed = count < STEER_LISTENERS ? (unsigned int)count : STEER_LISTENERS, untracked;

	if (count < 0)
		return count;
	/* Those that have come since sock_ops was attached are tracked already. */
	untracked = find_untracked(map, listening, listed);
	if (untracked)
		listener_finder_keep(&steer->finder, kind, listening, listening[0].cookie ? untracked : listed);
	sum_up(listening, count, find_untracked(map, listening, listed), listeners);
	return 0;
}

void listeners_forget(struct steer *steer, enum steer_kind kind)
{
	int map = map_of(steer, kind);

	for (uint32_t i = 0; i < STEER_LISTENERS; i++)
		bpf_map_delete_elem(map, &i);
}

const char *listeners_why_untracked(const struct steer *steer, enum steer_kind kind)
{
	if (steer->finder.looks_up)
		return kind == STEER_ACME ? "MPTCP?" : "MPTCP, or bound to a device?";
	return kind == STEER_ACME ? "MPTCP, or a process outside of alpnbpf's PID namespace?"
				  : "MPTCP, bound to a device, or a process outside of alpnbpf's PID namespace?";
}
