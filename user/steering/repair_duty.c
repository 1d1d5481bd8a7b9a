// SPDX-License-Identifier: BSD-2-Clause
/*
 * Requests to the repair helper: see repair_duty.h. No number of a request is used but a port and a count of tries:
 * what is known of a connection is in `alpnbpf_taken`, where only the watch can have written it. Owns the list of
 * entries that must still be removed. In the process of the helper.
 */
#include "steering/repair_duty.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/descriptor.h"
#include "base/timer.h"
#include "steering/endpoint.h"
#include "steering/held.h"
#include "steering/takeover.h"
#include "steering/takeover_packets.h"

#define ENTRY_TRIES 3 /* a bucket's lock may be busy for a moment */
#define AGAIN_MS    10

/* Entries that must still be removed. The map has no more, and has each only once: there is a place for all. */
static struct owed {
	struct steer_connection ends;
	uint32_t first; /* of the record: not a later connection's with the same ends */
} owed[STEER_TAKEN_MOST];
static unsigned int owed_count;
static uint64_t owed_next; /* us; when to try again */

void repair_duty_allow(struct repair_duty *duty, unsigned int port)
{
	duty->ports[(port & 0xffff) / 32] |= 1U << port % 32;
}

static bool is_allowed(const struct repair_duty *duty, unsigned int port)
{
	return duty->ports[(port & 0xffff) / 32] & 1U << port % 32;
}

/* --- entries of connections that are being taken over --- */

/* What the watch wrote about it, without the client's bytes. 0 or -errno. */
static int look_up(const struct repair_duty *duty, const struct repair_entry *named, struct steer_takeover *entry)
{
	if (!is_allowed(duty, named->ends.to.port))
		return -EACCES;
	if (bpf_map_lookup_elem(duty->taken, &named->ends, entry))
		return -errno;
	if (entry->first != named->first)
		return -ENOENT;
	return takeover_is_sound(entry, STEER_TAKEN_SIZE + entry->length) ? 0 : -EBADMSG;
}

/* The same, of one that was not given back. */
static int look_up_taken(const struct repair_duty *duty, const struct repair_entry *named, struct steer_takeover *entry)
{
	int error = look_up(duty, named, entry);

	return error ? error : entry->taken == STEER_TAKEN ? 0 : -ENOENT;
}

static int delete_now(const struct repair_duty *duty, const struct steer_connection *ends)
{
	int error = 0;

	for (int tries = 0; tries < ENTRY_TRIES; tries++) {
		error = bpf_map_delete_elem(duty->taken, ends) ? -errno : 0;
		if (!error || error == -ENOENT)
			break;
	}
	if (!error)
		__atomic_fetch_add(&duty->state->takeovers_ended, 1, __ATOMIC_SEQ_CST);
	return error;
}

static void delete_entry(const struct repair_duty *duty, const struct steer_takeover *entry)
{
	int error = delete_now(duty, &entry->ends);

	if (!error || error == -ENOENT || owed_count == STEER_TAKEN_MOST)
		return;
	if (!owed_count)
		owed_next = monotonic_us() + AGAIN_MS * US_PER_MS;
	owed[owed_count++] = (struct owed){.ends = entry->ends, .first = entry->first};
}

static bool is_owed_still(const struct repair_duty *duty, const struct owed *one)
{
	static struct steer_takeover entry;

	if (bpf_map_lookup_elem(duty->taken, &one->ends, &entry))
		return errno != ENOENT;
	if (entry.first != one->first)
		return false;
	return delete_now(duty, &one->ends) != 0;
}

int repair_duty_again(const struct repair_duty *duty)
{
	uint64_t now = monotonic_us();
	unsigned int left = 0;

	if (!owed_count)
		return -1;
	if (now < owed_next)
		return (int)((owed_next - now) / US_PER_MS) + 1;
	for (unsigned int i = 0; i < owed_count; i++)
		if (is_owed_still(duty, &owed[i]))
			owed[left++] = owed[i];
	owed_count = left;
	owed_next = now + AGAIN_MS * US_PER_MS;
	return left ? AGAIN_MS : -1;
}

static void leave(const struct repair_duty *duty, struct steer_takeover *entry)
{
	entry->taken = STEER_LEFT;
	if (bpf_map_update_elem(duty->taken, &entry->ends, entry, BPF_EXIST))
		delete_entry(duty, entry); /* its hello may be read again */
}

/* --- the steps of a takeover --- */

/*
 * connect() looks for a route before it looks for a socket with the same ends: so nothing is removed before there is a
 * route. *removed counts.
 */
static int connect_and_remove(const struct repair_duty *duty, const struct steer_takeover *entry, int fd,
			      uint32_t *removed)
{
	uint32_t tries = 0;
	int error = takeover_connect(fd, entry);

	while (error == -EADDRNOTAVAIL && tries++ < removal_tries_at_once(&duty->removal)) {
		error = removal_try(&duty->removal, entry, (*removed)++);
		if (!error)
			error = takeover_connect(fd, entry);
	}
	return error;
}

/* The client's bytes. A reset for the server's socket may be late, and meet ours: then another one is needed. */
static int fill(const struct steer_takeover *entry, int fd)
{
	int error = takeover_fill(fd, entry);

	if ((error || !entry->agreed.deferred) && takeover_is_closed(fd))
		return -EAGAIN;
	return error;
}

/* The entry goes before the socket sends: its own packets are held back until then. */
static int go_on(const struct repair_duty *duty, const struct steer_takeover *entry, int fd)
{
	struct address client = takeover_client(entry);
	int raw = duty->removal.raw[steer_family_of(&client)], error = delete_now(duty, &entry->ends);

	if (error)
		return error == -ENOENT ? error : -EAGAIN;
	if (takeover_finish(fd)) {
		takeover_reset_client(raw, entry);
		return -ENOTRECOVERABLE;
	}
	takeover_acknowledge(raw, entry, fd);
	return 0;
}

static int take(const struct repair_duty *duty, struct steer_takeover *entry, const uint8_t *bytes, size_t length,
		uint64_t until_us, uint32_t *removed, int *passed)
{
	int fd, error;

	if (length != entry->length)
		return -EBADMSG;
	if (monotonic_us() >= until_us)
		return -ETIMEDOUT;
	memcpy(entry->bytes, bytes, length);
	fd = takeover_prepare(entry);
	if (fd < 0)
		return fd;
	error = connect_and_remove(duty, entry, fd, removed);
	if (!error)
		error = fill(entry, fd);
	if (!error)
		error = go_on(duty, entry, fd);
	if (error)
		descriptor_close(&fd); /* in repair: sends nothing */
	*passed = fd;
	return error;
}

static void reset_client(const struct repair_duty *duty, const struct steer_takeover *entry)
{
	struct address client = takeover_client(entry);

	takeover_reset_client(duty->removal.raw[steer_family_of(&client)], entry);
	delete_entry(duty, entry);
}

bool repair_duty_worker(struct repair_duty *duty, const struct repair_request *request, const uint8_t *bytes,
			size_t length, struct repair_answer *answer, int *passed)
{
	static struct steer_takeover entry; /* the helper has one thread */

	*passed = NO_DESCRIPTOR;
	*answer = (struct repair_answer){.kind = request->kind, .number = request->number, .value = request->value};
	answer->result = request->kind == REPAIR_RELEASE ? look_up(duty, &request->entry, &entry)
							 : look_up_taken(duty, &request->entry, &entry);
	switch (request->kind) {
	case REPAIR_TAKE:
		if (!answer->result)
			answer->result = take(duty, &entry, bytes, length, request->until_us, &answer->value, passed);
		return true;
	case REPAIR_IS_GONE:
		if (!answer->result)
			answer->result = removal_is_done(&duty->removal, &entry);
		return true;
	case REPAIR_RELEASE:
		if (!answer->result)
			delete_entry(duty, &entry);
		return false;
	case REPAIR_LEAVE:
		if (!answer->result)
			leave(duty, &entry);
		return false;
	case REPAIR_RESET_CLIENT:
		if (!answer->result)
			reset_client(duty, &entry);
		return false;
	default:
		answer->result = -EOPNOTSUPP;
		return true;
	}
}

/* --- the programs of the watch --- */

static void detach(struct repair_duty *duty)
{
	/* In reverse order: the egress program last. */
	for (int i = WATCH_HOOKS - 1; i >= 0; i--)
		descriptor_close(&duty->links[i]);
}

/* The egress program first: it must be there before a connection can be taken over. */
static int attach(struct repair_duty *duty)
{
	static const enum bpf_attach_type types[WATCH_HOOKS] = {
		[WATCH_HUSH] = BPF_CGROUP_INET_EGRESS, [WATCH_LOOK] = BPF_CGROUP_INET_INGRESS};

	for (int i = 0; i < WATCH_HOOKS; i++) {
		int link;

		if (duty->links[i] >= 0)
			continue;
		link = bpf_link_create(duty->programs[i], duty->cgroup, types[i], NULL);
		if (link < 0) {
			detach(duty);
			return link;
		}
		duty->links[i] = link;
	}
	return 0;
}

bool repair_duty_main(struct repair_duty *duty, const struct repair_request *request, struct repair_answer *answer)
{
	*answer = (struct repair_answer){.kind = request->kind, .number = request->number};
	switch (request->kind) {
	case REPAIR_ATTACH:
		answer->result = attach(duty);
		return true;
	case REPAIR_DETACH:
		detach(duty);
		return true;
	case REPAIR_PORT:
		repair_duty_allow(duty, request->value);
		return false;
	default:
		answer->result = -EOPNOTSUPP;
		return true;
	}
}

int repair_duty_release(const struct repair_duty *duty, const struct steer_idle *idle)
{
	return is_allowed(duty, idle->ends.to.port) ? held_release(&duty->injector, &duty->removal, idle) : -EACCES;
}
