// SPDX-License-Identifier: BSD-2-Clause
/*
 * Puts new options in force: compares them with the running ones, opens new listeners for each worker, updates rules,
 * limits and steering, and publishes the result to the workers. Owns nothing. Main thread, while workers run.
 */
#include "operate/reload_apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/configuration.h"
#include "engine/listener.h"
#include "engine/worker.h"
#include "operate/program.h"
#include "options/changes.h"
#include "steering/reload.h"
#include "system/ports.h"

/* --- what can change --- */

/* Can the new options take effect without a restart? */
static bool can_change(const struct program *program, const struct options *new, struct sentence *why)
{
	char names[256];

	if (options_list_changes(&program->options, new, true, names, sizeof(names)))
		return sentence_refuse(why, "%s cannot change while alpnbpf runs; restart alpnbpf", names);
	if (new->max_connections > program->engine.max_sessions)
		return sentence_refuse(
			why, "max-connections %u exceeds the %u sessions allocated at start-up; restart alpnbpf",
			new->max_connections, program->engine.max_sessions);
	if (new->routes.count && !program->engine.dataplane.rules)
		return sentence_refuse(why,
				       "route: alpnbpf started without rules and cannot add one now; restart alpnbpf");
	return steer_can_change(&program->engine.steer, &program->options, new, why);
}

/* --- listeners --- */

/* If an address overlaps with one of ours, a trial bind() would not show whether it is free. */
static bool overlaps_ours(const struct options *old, const struct address *address)
{
	for (unsigned int i = 0; i < old->listener_count; i++)
		if (!old->in_place[i] && address_port(&old->listeners[i]) == address_port(address))
			return true;
	return false;
}

/* SO_REUSEPORT would let us share a port with another alpnbpf of the same user, and take half of its connections. */
static int check_free(const struct program *program, const struct address *address, struct sentence *why)
{
	char name[ADDRESS_TEXT_MAX];
	int error;

	if (overlaps_ours(&program->options, address))
		return 0;
	error = port_try_bind(address, why);
	if (error)
		sentence_set(why, "cannot listen on %s: %s%s", address_format(address, name, sizeof(name)), why->text,
			     error == -EACCES ? "; alpnbpf has dropped this capability since its start; restart alpnbpf"
					      : "");
	return error;
}

/* Opens one per worker and new address. */
static int open_new_listeners(const struct program *program, struct configuration *configuration, struct sentence *why)
{
	const struct options *new = &configuration->options;
	unsigned int workers = program->engine.worker_count, opened = 0;
	const struct address *added[LISTENERS_MAX];
	bool implied[LISTENERS_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < new->listener_count; i++) {
		if (new->in_place[i] || options_has_listener(&program->options, &new->listeners[i]))
			continue;
		implied[count] = new->listener_implied[i];
		added[count++] = &new->listeners[i];
	}
	if (!count)
		return 0;
	for (unsigned int i = 0; i < count; i++) {
		int error = check_free(program, added[i], why);

		if (error && !(error == -EAFNOSUPPORT && implied[i]))
			return error;
	}
	configuration->opened = calloc((size_t)workers * count, sizeof(struct listener));
	if (!configuration->opened)
		return sentence_error(why, -ENOMEM, "out of memory for the new listeners");
	for (unsigned int i = 0; i < workers * count; i++)
		configuration->opened[i].fd = NO_DESCRIPTOR;
	configuration->opened_count = count;
	for (unsigned int worker = 0; worker < workers; worker++) {
		for (unsigned int i = 0; i < count; i++, opened++) {
			int error = listener_prepare(&configuration->opened[opened], &program->engine.steer, new,
						     added[i], why);

			if (error && !(error == -EAFNOSUPPORT && implied[i]))
				return error;
		}
	}
	return 0;
}

/* --- rules --- */

/*
 * There are two tables. A hello that has begun is matched against the table it began with. False if the other table is
 * still in use for that, shortly after another reload.
 */
static bool compile_rules(struct program *program, struct configuration *configuration)
{
	struct configuration *newest = atomic_load(&program->engine.configuration);
	struct clienthello_rules *table;
	uint16_t other = newest->rules == 1 ? 2 : 1;

	configuration->rules = newest->rules;
	if (!newest->rules || options_same_routes(&newest->options, &configuration->options))
		return true;
	for (struct configuration *older = newest->older; older; older = older->older)
		if (older->rules == other && atomic_load_explicit(&older->hellos, memory_order_acquire))
			return false;
	table = &program->engine.dataplane.rules[other - 1];
	memset(table, 0, sizeof(*table));
	routes_compile(&configuration->options.routes, table);
	configuration->rules = other;
	return true;
}

/* --- limits --- */

static bool set_source_limit(struct program *program, unsigned int limit)
{
	struct engine *engine = &program->engine;
	struct source_table *sources = atomic_load(&engine->sources);

	if (!sources && !limit)
		return true;
	if (sources) {
		source_table_set_limit(sources, limit);
		return true;
	}
	/* Existing sessions are not counted in it; each knows that. */
	sources = source_table_new(engine->max_sessions, limit);
	if (!sources)
		return false;
	atomic_store(&engine->sources, sources);
	return true;
}

/* --- all of it --- */

/* The steps that can fail; after an error, nothing has changed. */
static int prepare_reload(struct program *program, const struct options *new, struct configuration *configuration,
			  struct sentence *why)
{
	int error = open_new_listeners(program, configuration, why);

	if (!error && !compile_rules(program, configuration))
		error = sentence_error(why, -EBUSY,
				       "connections are still being matched against the rules of two reloads ago; "
				       "try again in a moment");
	if (!error && !set_source_limit(program, new->max_per_source))
		error = sentence_error(why, -ENOMEM, "out of memory for max-per-source");
	if (error)
		return error;
	error = steer_change(&program->engine.steer, &program->options, new);
	if (error)
		set_source_limit(program, program->options.max_per_source);
	return error ? sentence_error(why, error, "cannot change the steering: %s", strerror(-error)) : 0;
}

bool reload_apply(struct program *program, const struct options *new, struct sentence *why)
{
	unsigned int most = new->max_connections ? new->max_connections : program->engine.max_sessions;
	struct configuration *configuration;

	if (!can_change(program, new, why))
		return false;
	configuration = configuration_new(new, most, program->engine.running);
	if (!configuration)
		return sentence_refuse(why, "out of memory for the options");
	if (prepare_reload(program, new, configuration, why)) {
		configuration_free(configuration);
		return false;
	}
	log_init(new->log_level, new->log_format);
	program->options = *new;
	engine_publish(&program->engine, configuration);
	return true;
}

void reload_prune(struct program *program)
{
	struct configuration *newest = atomic_load(&program->engine.configuration);

	newest->older = configuration_prune(newest->older);
}
