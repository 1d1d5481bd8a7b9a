// SPDX-License-Identifier: BSD-2-Clause
/* Asks by test runs: see listener_owner.h. Owns the skeleton. */
#include "steering/listener_owner.h"

#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "steering.h"
#include "steering/endpoint.h"
#include "system/bpf.h"
#include "system/bpf_memory.h"

/* The code that bpftool generates is not clean under -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "owner.skel.h"
#pragma GCC diagnostic pop

int listener_asker_open(struct listener_asker *asker)
{
	int error;

	*asker = LISTENER_ASKER_CLOSED;
	asker->skel = alpnbpf_owner__open();
	error = asker->skel ? alpnbpf_owner__load(asker->skel) : -errno;
	if (!error) {
		asker->program = bpf_program__fd(asker->skel->progs.alpnbpf_owner);
		return 0;
	}
	bpf_explain(error, "loading the program that tells whose a listener is", &asker->why_not);
	if (asker->skel)
		alpnbpf_owner__destroy(asker->skel);
	asker->skel = NULL;
	return error;
}

void listener_asker_close(struct listener_asker *asker)
{
	if (asker->skel)
		alpnbpf_owner__destroy(asker->skel);
	*asker = LISTENER_ASKER_CLOSED;
}

static int ask(const struct listener_asker *asker, struct steer_owner_question *question, uint32_t device)
{
	struct __sk_buff packet = {.ifindex = device};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = question, .data_size_in = sizeof(*question),
		    .data_out = question, .data_size_out = sizeof(*question));

	if (device) { /* else loopback, where all of our connections to this machine come from */
		options.ctx_in = &packet;
		options.ctx_size_in = sizeof(packet);
	}
	return bpf_prog_test_run_opts(asker->program, &options) ? -errno : 0;
}

static uint32_t device_of(const struct address *address)
{
	return address_is_link_local(address) ? address->in6.sin6_scope_id : 0;
}

int listener_owner_at(const struct listener_asker *asker, const struct address *from, const struct address *to,
		      struct listener_owner *owner)
{
	struct address far = address_unmapped(to), near;
	struct steer_owner_question question = {.ends.to = steer_endpoint_from(&far)};
	int error;

	if (from) {
		near = address_unmapped(from);
		question.ends.from = steer_endpoint_from(&near);
	}
	error = ask(asker, &question, device_of(&far));
	if (!error && question.found && !question.number) /* no memory for it */
		error = -ENOMEM;
	*owner = (struct listener_owner){.found = question.found,
					 .uid = question.uid,
					 .number = question.number,
					 .peer = (enum steer_peer)question.peer,
					 .peer_uid = question.peer_uid};
	return error;
}

int listener_asker_read_only(const struct listener_asker *asker)
{
	return bpf_memory_object_read_only(asker->skel ? asker->skel->obj : NULL);
}
