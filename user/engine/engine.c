// SPDX-License-Identifier: BSD-2-Clause
/* The engine as a whole: creates, starts and closes the workers and what they share. Main thread. */
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/descriptor.h"
#include "engine/backend_owner.h"
#include "engine/connect.h"
#include "engine/loop.h"
#include "engine/port_listeners.h"
#include "engine/process.h"
#include "engine/shared.h"
#include "engine/takers.h"
#include "engine/unreachable.h"
#include "engine/worker.h"
#include "hello/rules.h"

/* Limits in the manual. */
#define VALIDATIONS_WAITING 4096
#define VALIDATIONS_SERVED  512

int engine_open(struct engine *engine)
{
	*engine = (struct engine){.finished = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				  .answered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				  .local = LOCAL_WATCH_CLOSED,
				  .handover = HANDOVER_CLOSED,
				  .client_sockets = CLIENT_SOCKETS_CLOSED,
				  .dataplane = {.socks = NO_DESCRIPTOR, .slots = NO_DESCRIPTOR},
				  .trace = {.to = NO_DESCRIPTOR, .from = NO_DESCRIPTOR}};
	steer_clear(&engine->steer);
	if (engine->finished < 0 || engine->answered < 0)
		return -errno;
	return trace_open(&engine->trace);
}

void engine_divide(struct engine *engine, unsigned int sessions, unsigned int workers)
{
	engine->max_sessions = engine->session_limit = sessions;
	engine->worker_count = workers < sessions ? workers : sessions;
	engine->slots_per_worker = (sessions + engine->worker_count - 1) / engine->worker_count;
}

static int make_configuration(struct engine *engine, const struct options *options)
{
	struct configuration *configuration = configuration_new(options, engine->max_sessions, engine->worker_count);

	if (!configuration)
		return -ENOMEM;
	if (options->routes.count) {
		routes_compile(&options->routes, &engine->dataplane.rules[0]);
		configuration->rules = engine->rules = 1;
	}
	configuration->owners = backend_owners_after(engine, NULL, options);
	atomic_store(&engine->configuration, configuration);
	return 0;
}

static int make_sources(struct engine *engine, unsigned int limit)
{
	struct source_table *sources = limit ? source_table_new(engine->max_sessions, limit) : NULL;

	atomic_store(&engine->sources, sources);
	return limit && !sources ? -ENOMEM : 0;
}

static void wake_worker(void *context, unsigned int worker)
{
	struct engine *engine = context;

	worker_wake(&engine->workers[worker]);
}

/* Validations never have all sessions: visitors come first. */
static int make_responder(struct engine *engine)
{
	unsigned int half = engine->max_sessions > 1 ? engine->max_sessions / 2 : 1;

	engine->responder = responder_new(engine->worker_count, half < VALIDATIONS_WAITING ? half : VALIDATIONS_WAITING,
					  half < VALIDATIONS_SERVED ? half : VALIDATIONS_SERVED, wake_worker, engine);
	return engine->responder ? 0 : -ENOMEM;
}

static size_t shared_bytes(const struct engine *engine)
{
	return sizeof(struct engine_shared) + engine->worker_count * sizeof(struct worker_shared);
}

static int make_shared(struct engine *engine)
{
	engine->shared = shared_map(shared_bytes(engine));
	engine->trace.shared = engine->shared;
	return engine->shared ? 0 : -errno;
}

static int make_workers(struct engine *engine)
{
	engine->workers = calloc(engine->worker_count, sizeof(struct worker));
	if (!engine->workers)
		return -ENOMEM;
	for (unsigned int i = 0; i < engine->worker_count; i++) {
		int error = worker_init(&engine->workers[i], engine, i);

		engine->made = i + 1;
		if (error)
			return error;
	}
	return 0;
}

int engine_set_up(struct engine *engine, const struct options *options, struct sentence *why)
{
	int error = make_configuration(engine, options);

	connect_prepare();
	if (!error)
		error = make_sources(engine, options->max_per_source);
	if (!error && engine->steer.watch.is_ready)
		error = takers_open(engine);
	if (!error)
		error = make_responder(engine);
	if (!error)
		error = make_shared(engine);
	if (!error)
		error = handover_open(&engine->handover);
	if (!error && options->client_address == CLIENT_ADDRESS_TRANSPARENT)
		error = client_sockets_open(&engine->client_sockets);
	if (!error)
		backend_owners_in_force(engine, &atomic_load(&engine->configuration)->owners);
	if (!error)
		error = make_workers(engine);
	if (!error)
		return engine->steer.plan.in_place
			       ? local_addresses_open(&engine->local, &engine->shared->addresses, why)
			       : 0;
	return sentence_error(why, error, "cannot set up %u workers for %u sessions: %s", engine->worker_count,
			      engine->max_sessions, strerror(-error));
}

int engine_start(struct engine *engine, const struct sandbox *sandbox, struct sentence *why)
{
	int error = workers_process_start(engine, sandbox, why);

	/* They are the other process's now: a listener must close when that closes it. */
	for (unsigned int i = 0; i < engine->made; i++)
		worker_let_go(&engine->workers[i]);
	descriptor_close(&engine->trace.to);
	descriptor_close(&engine->handover.from);
	client_sockets_let_go(&engine->client_sockets);
	descriptor_close(&engine->steer.watch.helper.worker.socket);
	if (!error)
		engine->running = engine->worker_count;
	return error;
}

void engine_answer(struct engine *engine, const struct options *options)
{
	if (!engine->shared)
		return;
	if (atomic_exchange(&engine->shared->takeovers_fail, false))
		hello_watch_steer(&engine->steer.watch);
	local_addresses_follow(&engine->local);
	client_sockets_fill(&engine->client_sockets);
	port_listeners_answer(engine);
	unreachable_log(engine, options);
	backend_owner_log(engine, options);
}

int engine_fd(const struct engine *engine)
{
	return local_addresses_fd(&engine->local);
}

uint64_t engine_next(const struct engine *engine)
{
	uint64_t local = local_addresses_next(&engine->local), sockets = client_sockets_next(&engine->client_sockets);

	return local < sockets ? local : sockets;
}

void engine_tell(struct engine *engine, enum worker_command command)
{
	for (unsigned int i = 0; i < engine->running; i++)
		worker_tell(&engine->workers[i], command);
}

void engine_close(struct engine *engine)
{
	struct configuration *configuration = atomic_load(&engine->configuration);

	for (unsigned int i = 0; i < engine->made; i++)
		worker_free(&engine->workers[i]);
	free(engine->workers);
	client_sockets_close(&engine->client_sockets);
	handover_close(&engine->handover);
	local_addresses_close(&engine->local);
	shared_unmap(engine->shared, shared_bytes(engine));
	while (configuration) {
		struct configuration *older = configuration->older;

		configuration_free(configuration);
		configuration = older;
	}
	source_table_free(atomic_load(&engine->sources));
	responder_free(engine->responder);
	source_table_free(engine->takers);
	steer_close(&engine->steer);
	dataplane_close(&engine->dataplane);
	trace_close(&engine->trace);
	descriptor_close(&engine->finished);
	descriptor_close(&engine->answered);
}
