// SPDX-License-Identifier: BSD-2-Clause
/* Hands new options over to the workers: see handover.h, which says who owns what. */
#include "engine/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/configuration.h"
#include "engine/shared.h"
#include "engine/worker.h"

#define AT_ONCE 250 /* descriptors in a message; the kernel allows 253 */

/* A message: some of the descriptors. */
struct part {
	uint32_t number;
	uint32_t total; /* descriptors in all parts */
	uint32_t from, count;
};

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(AT_ONCE * sizeof(int))];
};

int handover_open(struct handover *handover)
{
	int pair[2];

	*handover = HANDOVER_CLOSED;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	handover->to = pair[0];
	handover->from = pair[1];
	descriptor_refuse_passed(handover->to);
	return 0;
}

void handover_close(struct handover *handover)
{
	configuration_free(handover->incoming);
	configuration_free(handover->taken);
	descriptor_close(&handover->to);
	descriptor_close(&handover->from);
}

/* --- the main thread's side --- */

static bool was_answered(const struct engine *engine)
{
	return atomic_load(&engine->shared->handover.answered) == engine->handover.number;
}

bool handover_is_free(const struct engine *engine)
{
	return !engine->handover.is_awaited || was_answered(engine);
}

static int send_part(const struct handover *handover, uint32_t total, uint32_t from, const int *descriptors)
{
	uint32_t left = total - from;
	struct part part = {
		.number = handover->number, .total = total, .from = from, .count = left < AT_ONCE ? left : AT_ONCE};
	struct iovec data = {.iov_base = &part, .iov_len = sizeof(part)};
	union control control = {0};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
	size_t bytes = part.count * sizeof(int);

	if (part.count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(bytes);
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(bytes)};
		memcpy(CMSG_DATA(&control.header), descriptors + from, bytes);
	}
	return sendmsg(handover->to, &message, MSG_NOSIGNAL) < 0 ? -errno : (int)part.count;
}

int handover_send(struct engine *engine, const struct handed *handed, const int *descriptors, struct sentence *why)
{
	uint32_t total = engine->worker_count * handed->opened_count, sent = 0;
	struct handover *handover = &engine->handover;
	int result;

	engine->shared->handover.handed = *handed;
	handover->number++;
	handover->is_awaited = false;
	do {
		result = send_part(handover, total, sent, descriptors);
		if (result < 0)
			return sentence_error(why, result, "cannot hand the new options over to the workers: %s",
					      strerror(-result));
		sent += (uint32_t)result;
	} while (sent < total);
	handover->is_awaited = true;
	return 0;
}

int handover_answer(const struct engine *engine)
{
	int answer;

	if (!was_answered(engine))
		return -EINPROGRESS;
	answer = atomic_load(&engine->shared->handover.answer);
	return answer > 0 || answer == -EINPROGRESS ? -EPROTO : answer;
}

void handover_put_in_force(struct engine *engine)
{
	engine->handover.in_force = engine->handover.number;
	atomic_store(&engine->shared->handover.in_force, engine->handover.in_force);
	worker_wake(&engine->workers[0]);
}

bool handover_is_adopted(const struct engine *engine)
{
	for (unsigned int i = 0; i < engine->running; i++)
		if (worker_loops(&engine->workers[i]) != WORKER_ENDED &&
		    atomic_load(&engine->workers[i].shared->adopted) != engine->handover.in_force)
			return false;
	return true;
}

void handover_prune(struct engine *engine)
{
	worker_wake(&engine->workers[0]);
}

/* --- the first worker's side --- */

static void drop_incoming(struct handover *handover)
{
	configuration_free(handover->incoming);
	handover->incoming = NULL;
}

/* Begins a configuration for the parts to come, without its listeners. -errno in handover->error. */
static void begin_incoming(struct worker *worker, const struct part *part)
{
	struct handover *handover = &worker->engine->handover;
	const struct handed *handed = &worker->engine->shared->handover.handed;
	struct configuration *configuration;

	drop_incoming(handover);
	handover->received = 0;
	handover->error = 0;
	configuration = configuration_new(&handed->options, handed->max_sessions, worker->engine->worker_count);
	if (configuration && part->total)
		configuration->opened = calloc(part->total, sizeof(struct listener));
	handover->incoming = configuration;
	if (!configuration || (part->total && !configuration->opened)) {
		handover->error = -ENOMEM;
		return;
	}
	configuration->number = part->number;
	configuration->rules = handed->rules;
	configuration->owners = handed->owners;
	configuration->buffers_can_grow = handed->buffers_can_grow;
	configuration->opened_count = handed->opened_count;
	for (unsigned int i = 0; i < part->total; i++)
		configuration->opened[i] = (struct listener){
			.fd = NO_DESCRIPTOR,
			.address = handed->options.listeners[handed->opened[i % handed->opened_count]]};
	/* These do not change in a reload, and point to memory of the main thread. */
	configuration->options.config = worker->configuration->options.config;
	configuration->options.activated = worker->configuration->options.activated;
	configuration->options.command = worker->configuration->options.command;
}

static void take_descriptors(struct handover *handover, const int *descriptors, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (handover->error)
			close(descriptors[i]);
		else
			handover->incoming->opened[handover->received + i].fd = descriptors[i];
	}
	handover->received += count;
}

/* For --max-per-source. Existing sessions are not counted in it; each knows that. */
static int make_sources(struct engine *engine, const struct options *options)
{
	struct source_table *sources;

	if (!options->max_per_source || atomic_load(&engine->sources))
		return 0;
	sources = source_table_new(engine->max_sessions, options->max_per_source);
	if (!sources)
		return -ENOMEM;
	source_table_set_limit(sources, 0); /* until it is in force */
	atomic_store(&engine->sources, sources);
	return 0;
}

static void complete_incoming(struct worker *worker, uint32_t number)
{
	struct handover *handover = &worker->engine->handover;
	struct handover_shared *shared = &worker->engine->shared->handover;

	if (!handover->error)
		handover->error = make_sources(worker->engine, &handover->incoming->options);
	if (handover->error) {
		drop_incoming(handover);
	} else {
		configuration_free(handover->taken); /* of a reload that failed later */
		handover->taken = handover->incoming;
		handover->incoming = NULL;
	}
	atomic_store(&shared->answer, handover->error);
	atomic_store(&shared->answered, number);
	worker_answered(worker);
}

/* The next part, with its descriptors. False if none has come. */
static bool receive_part(int fd, struct part *part, int *descriptors, unsigned int *count)
{
	struct iovec data = {.iov_base = part, .iov_len = sizeof(*part)};
	union control control;
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	const struct cmsghdr *header;

	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != sizeof(*part))
		return false;
	header = CMSG_FIRSTHDR(&message);
	*count = header ? (unsigned int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
	if (*count)
		memcpy(descriptors, CMSG_DATA(header), *count * sizeof(int));
	return true;
}

void handover_receive(struct worker *worker)
{
	struct handover *handover = &worker->engine->handover;
	int descriptors[AT_ONCE];
	unsigned int count;
	struct part part;

	while (receive_part(handover->from, &part, descriptors, &count)) {
		if (part.from == 0)
			begin_incoming(worker, &part);
		if (count < part.count) /* the descriptor limit: the kernel has closed the others */
			handover->error = -EMFILE;
		take_descriptors(handover, descriptors, count);
		handover->received += part.count - count;
		if (handover->received == part.total)
			complete_incoming(worker, part.number);
	}
}

void handover_follow(struct worker *worker)
{
	struct engine *engine = worker->engine;
	struct source_table *sources;
	struct configuration *taken;

	if (worker->index) /* the first one does it for all */
		return;
	taken = engine->handover.taken;
	if (!taken || atomic_load(&engine->shared->handover.in_force) != taken->number)
		return;
	sources = atomic_load(&engine->sources);
	engine->handover.taken = NULL;
	taken->older = atomic_load(&engine->configuration);
	atomic_store(&engine->configuration, taken);
	if (sources)
		source_table_set_limit(sources, taken->options.max_per_source);
	log_init(taken->options.log_level, taken->options.log_format); /* of this process */
	for (unsigned int i = 1; i < engine->worker_count; i++)
		worker_wake(&engine->workers[i]);
}

void handover_free_unused(struct worker *worker)
{
	struct configuration *newest = atomic_load(&worker->engine->configuration);

	if (!worker->index && newest->older)
		newest->older = configuration_prune(newest->older);
}
