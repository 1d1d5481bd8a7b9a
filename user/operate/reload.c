// SPDX-License-Identifier: BSD-2-Clause
/*
 * A reload in steps, of which all but the last can fail and are undone: parse; compare with what runs; open the new
 * listeners, for each worker; bring steering up to date; let the workers take over.
 */
#include "operate/reload.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/configuration.h"
#include "system/ports.h"
#include "engine/listener.h"
#include "base/log.h"
#include "system/notify.h"
#include "options/changes.h"
#include "operate/reload_parse.h"
#include "steering/reload.h"

#define PATIENCE_US (2000 * US_PER_MS) /* for workers to take over */

/* --- whether it can --- */

/* Could it take effect without a restart? Else why not. */
static bool can_change(const struct program *program, const struct options *new, char *why, size_t size)
{
	char names[256];

	if (options_list_changes(&program->options, new, true, names, sizeof(names))) {
		snprintf(why, size, "%s cannot change while alpnbpf runs; restart it", names);
		return false;
	}
	if (new->max_connections > program->engine.max_sessions) {
		snprintf(why, size, "max-connections %u: is more than the %u that memory was set aside for; restart it",
			 new->max_connections, program->engine.max_sessions);
		return false;
	}
	if (new->routes.count && !program->engine.dataplane.rules) {
		snprintf(why, size, "route: there was none when alpnbpf started; restart it");
		return false;
	}
	return steer_can_change(&program->engine.steer, &program->options, new, why, size);
}

/* --- listeners --- */

/* An address that only overlaps with one of our own cannot be bound to see whether it is free. */
static bool overlaps_ours(const struct options *old, const struct address *address)
{
	for (unsigned int i = 0; i < old->listener_count; i++)
		if (!old->in_place[i] && address_port(&old->listeners[i]) == address_port(address))
			return true;
	return false;
}

/* SO_REUSEPORT would let us share a port with another alpnbpf of the same user, and take half of its connections. */
static int check_free(const struct program *program, const struct address *address, char *why, size_t size)
{
	char name[ADDRESS_TEXT_MAX];
	struct sentence taken;
	int error;

	if (overlaps_ours(&program->options, address))
		return 0;
	error = port_try_bind(address, &taken);
	if (error)
		snprintf(why, size, "cannot listen on %s: %.500s%s", address_format(address, name, sizeof(name)),
			 taken.text,
			 error == -EACCES ? "; the right to it was given up once alpnbpf had started: restart it" : "");
	return error;
}

/* One for each worker and each address that is new. */
static int open_listeners(const struct program *program, struct configuration *configuration, char *why, size_t size)
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
		int error = check_free(program, added[i], why, size);

		if (error && !(error == -EAFNOSUPPORT && implied[i]))
			return error;
	}
	configuration->opened = calloc((size_t)workers * count, sizeof(struct listener));
	if (!configuration->opened)
		return -ENOMEM;
	for (unsigned int i = 0; i < workers * count; i++)
		configuration->opened[i].fd = -1;
	configuration->opened_count = count;
	for (unsigned int worker = 0; worker < workers; worker++) {
		for (unsigned int i = 0; i < count; i++, opened++) {
			int error = listener_prepare(&configuration->opened[opened], &program->engine.steer, new,
						     added[i], why, size);

			if (error && !(error == -EAFNOSUPPORT && implied[i]))
				return error;
		}
	}
	return 0;
}

/* --- rules --- */

/*
 * There are two tables: hellos that have begun are held against the one they began with. False when the other one is
 * still needed for that, after a reload that came just before.
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

/* --- taking over --- */

static bool all_have_it(const struct program *program, const struct configuration *configuration)
{
	for (unsigned int i = 0; i < program->engine.running; i++)
		if (worker_loops(&program->engine.workers[i]) != WORKER_ENDED &&
		    atomic_load(&program->engine.workers[i].configuration) != configuration)
			return false;
	return true;
}

static void hand_over(struct program *program, struct configuration *configuration)
{
	uint64_t until = monotonic_us() + PATIENCE_US, now, value;
	struct pollfd reported = {.fd = program->engine.reported, .events = POLLIN};

	configuration->older = atomic_load(&program->engine.configuration);
	atomic_store(&program->engine.configuration, configuration);
	for (unsigned int i = 0; i < program->engine.running; i++)
		worker_wake(&program->engine.workers[i]);
	while (!all_have_it(program, configuration) && (now = monotonic_us()) < until)
		if (poll(&reported, 1, (int)((until - now) / US_PER_MS + 1)) > 0 &&
		    read(reported.fd, &value, sizeof(value)) != sizeof(value))
			break;
	configuration->older = configuration_prune(configuration->older);
}

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
	/* Sessions that live by now are not in it, and know that. */
	sources = source_table_new(engine->max_sessions, limit);
	if (!sources)
		return false;
	atomic_store(&engine->sources, sources);
	return true;
}

/* All that can fail, and then that which cannot. False: nothing has changed. */
static bool apply(struct program *program, const struct options *new, char *why, size_t size)
{
	unsigned int most = new->max_connections ? new->max_connections : program->engine.max_sessions;
	struct configuration *configuration = configuration_new(new, most, program->engine.running);
	int error = configuration ? open_listeners(program, configuration, why, size) : -ENOMEM;

	if (!error && !compile_rules(program, configuration)) {
		snprintf(why, size,
			 "hellos of the rules before the last ones are still under way; try again in a moment");
		error = -EBUSY;
	}
	if (!error && !set_source_limit(program, new->max_per_source))
		error = -ENOMEM;
	if (!error) {
		error = steer_change(&program->engine.steer, &program->options, new);
		if (error)
			snprintf(why, size, "changing the steering: %s", strerror(-error));
	}
	if (error) {
		if (error == -ENOMEM)
			snprintf(why, size, "there is no memory for it");
		set_source_limit(program, program->options.max_per_source);
		configuration_free(configuration);
		return false;
	}
	log_init(new->log_level, new->log_format);
	program->options = *new;
	hand_over(program, configuration);
	return true;
}

/* --- a reload --- */

static bool try_reload(struct program *program, char *sentence, size_t size)
{
	struct parsing *parsing;
	char reason[1024], names[512];
	unsigned int changes;
	bool done;

	if (program->phase != PROGRAM_RUNNING) {
		snprintf(sentence, size, "alpnbpf is about to end");
		return false;
	}
	if (!all_have_it(program, atomic_load(&program->engine.configuration))) {
		snprintf(sentence, size, "the last reload is still under way");
		return false;
	}
	parsing = parsing_start(program, sentence, size);
	if (!parsing)
		return false;
	changes = options_list_changes(&program->options, &parsing->options, false, names, sizeof(names));
	done = can_change(program, &parsing->options, reason, sizeof(reason)) &&
	       apply(program, &parsing->options, reason, sizeof(reason));
	parsing_leave(parsing);
	if (!done) {
		snprintf(sentence, size, "%s", reason);
		return false;
	}
	snprintf(sentence, size, "%s", changes ? names : "nothing");
	snprintf(sentence + strlen(sentence), size - strlen(sentence), "%s",
		 changes ? " changed, for new sessions" : " has changed");
	return true;
}

static void tell_service_manager(void)
{
	char message[64];

	snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)monotonic_us());
	notify_service_manager(message);
}

bool reload(struct program *program, char *sentence, size_t size)
{
	bool done;

	tell_service_manager();
	done = try_reload(program, sentence, size);
	program->reloads[done]++;
	program->last_reload_failed = !done;
	program->last_reload = time(NULL);
	if (done)
		log_info("reloaded: %s", sentence);
	else
		log_error("not reloaded, all goes on as before: %s", sentence);
	if (program->phase == PROGRAM_RUNNING)
		notify_service_manager("READY=1");
	return done;
}
