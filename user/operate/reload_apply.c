// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compares new options with the running ones, opens new listeners for each worker, compiles rules, and hands all that
 * over to the workers; then changes the steering, and puts the new options in force. Owns nothing. Main thread, while
 * workers run.
 */
#include "operate/reload_apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/backend_owner.h"
#include "engine/handover.h"
#include "engine/listener.h"
#include "engine/shared.h"
#include "engine/socket_options.h"
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

/* The new addresses, by their index in the options. */
static void list_new_listeners(const struct program *program, struct handed *handed)
{
	const struct options *new = &handed->options;

	handed->opened_count = 0;
	for (unsigned int i = 0; i < new->listener_count; i++)
		if (!new->in_place[i] && !options_has_listener(&program->options, &new->listeners[i]))
			handed->opened[handed->opened_count++] = (unsigned char)i;
}

/* Without addresses of a family that no option names and this machine does not have. */
static int check_all_free(const struct program *program, struct handed *handed, struct sentence *why)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < handed->opened_count; i++) {
		unsigned int listener = handed->opened[i];
		int error = check_free(program, &handed->options.listeners[listener], why);

		if (error && !(error == -EAFNOSUPPORT && handed->options.listener_implied[listener]))
			return error;
		if (!error)
			handed->opened[kept++] = handed->opened[i];
	}
	handed->opened_count = kept;
	return 0;
}

/* One per worker and address, in *out: [worker * opened_count + i]. Those that were opened are the caller's. */
static int open_listeners(const struct program *program, const struct handed *handed, struct listener *out,
			  struct sentence *why)
{
	for (unsigned int i = 0; i < program->engine.worker_count * handed->opened_count; i++) {
		unsigned int listener = handed->opened[i % handed->opened_count];
		int error = listener_prepare(&out[i], &program->engine.steer, &handed->options,
					     &handed->options.listeners[listener], why);

		if (error)
			return error;
	}
	return 0;
}

/* --- rules --- */

static bool is_in_use(const struct engine *engine, unsigned int table)
{
	for (unsigned int i = 0; i < engine->running; i++)
		if (atomic_load_explicit(&engine->workers[i].shared->hellos[table - 1], memory_order_acquire))
			return true;
	return false;
}

/*
 * There are two tables. A hello that has begun is matched against the table it began with. False if the other table is
 * still in use for that, shortly after another reload.
 */
static bool compile_rules(const struct program *program, struct handed *handed)
{
	const struct engine *engine = &program->engine;
	uint16_t other = engine->rules == 1 ? 2 : 1;
	struct clienthello_rules *table;

	handed->rules = engine->rules;
	if (!engine->rules || options_same_routes(&program->options, &handed->options))
		return true;
	if (is_in_use(engine, other))
		return false;
	table = &engine->dataplane.rules[other - 1];
	memset(table, 0, sizeof(*table));
	routes_compile(&handed->options.routes, table);
	handed->rules = other;
	return true;
}

/* --- handing over --- */

/* Fills *handed, and *listeners with sockets for it, which the caller closes. */
static int prepare(const struct program *program, struct handed *handed, struct listener **listeners,
		   struct sentence *why)
{
	const struct options *new = &handed->options;
	unsigned int count;
	int error;

	handed->max_sessions = new->max_connections ? new->max_connections : program->engine.max_sessions;
	handed->buffers_can_grow = socket_buffers_can_grow(new);
	handed->owners = backend_owners_after(&program->engine, &program->options, new);
	list_new_listeners(program, handed);
	error = check_all_free(program, handed, why);
	if (error)
		return error;
	count = program->engine.worker_count * handed->opened_count;
	*listeners = calloc(count + 1, sizeof(**listeners));
	if (!*listeners)
		return sentence_error(why, -ENOMEM, "out of memory for the new listeners");
	for (unsigned int i = 0; i < count; i++)
		(*listeners)[i].fd = NO_DESCRIPTOR;
	error = open_listeners(program, handed, *listeners, why);
	if (!error && !compile_rules(program, handed))
		error = sentence_error(why, -EBUSY,
				       "connections are still being matched against the rules of two reloads ago; "
				       "try again in a moment");
	return error;
}

static int send_all(struct program *program, const struct handed *handed, const struct listener *listeners,
		    struct sentence *why)
{
	unsigned int count = program->engine.worker_count * handed->opened_count;
	int *descriptors = calloc(count + 1, sizeof(*descriptors)), error;

	if (!descriptors)
		return sentence_error(why, -ENOMEM, "out of memory for the new listeners");
	for (unsigned int i = 0; i < count; i++)
		descriptors[i] = listeners[i].fd;
	error = handover_send(&program->engine, handed, descriptors, why);
	free(descriptors);
	return error;
}

bool reload_hand_over(struct program *program, const struct options *new, struct sentence *why)
{
	struct listener *listeners = NULL;
	struct handed *handed;
	int error;

	if (!can_change(program, new, why))
		return false;
	handed = calloc(1, sizeof(*handed));
	if (!handed)
		return sentence_refuse(why, "out of memory for the options");
	handed->options = *new;
	error = prepare(program, handed, &listeners, why);
	if (!error)
		error = send_all(program, handed, listeners, why);
	program->reload.rules = handed->rules;
	program->reload.owners = handed->owners;
	for (unsigned int i = 0; listeners && i < program->engine.worker_count * handed->opened_count; i++)
		descriptor_close(&listeners[i].fd);
	free(listeners);
	free(handed);
	return !error;
}

bool reload_put_in_force(struct program *program, const struct options *new, struct sentence *why)
{
	int error = steer_change(&program->engine.steer, &program->options, new);

	if (error)
		return sentence_refuse(why, "cannot change the steering: %s", strerror(-error));
	log_init(new->log_level, new->log_format);
	program->options = *new;
	program->engine.session_limit = new->max_connections ? new->max_connections : program->engine.max_sessions;
	program->engine.rules = program->reload.rules;
	backend_owners_in_force(&program->engine, &program->reload.owners);
	handover_put_in_force(&program->engine);
	return true;
}
