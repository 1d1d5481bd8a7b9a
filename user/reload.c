// SPDX-License-Identifier: BSD-2-Clause
/*
 * A reload in steps, of which all but the last can fail and are undone: parse; compare with what runs; open the new
 * listeners, for each worker; bring steering up to date; let the workers take over.
 */
#include "reload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "configuration.h"
#include "diagnose.h"
#include "listener.h"
#include "log.h"
#include "steer_reload.h"

#define PATIENCE_US       (2000 * MS) /* for workers to take over */
#define PARSE_PATIENCE_US (8000 * MS) /* for names to be looked up; who asked for the reload waits 10 s */
#define PARSE_LOOK_US     (200 * MS)

/* --- what has changed --- */

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	if (strcmp(a->text, b->text) != 0 || a->count != b->count)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!address_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	return true;
}

static bool same_acme(const struct options *a, const struct options *b)
{
	return same_endpoint(&a->backends[ROUTE_ACME], &b->backends[ROUTE_ACME]);
}

static bool same_https(const struct options *a, const struct options *b)
{
	return same_endpoint(&a->backends[ROUTE_HTTPS], &b->backends[ROUTE_HTTPS]);
}

static bool same_routes(const struct options *a, const struct options *b)
{
	if (a->routes.count != b->routes.count ||
	    memcmp(a->routes.rules, b->routes.rules, sizeof(a->routes.rules)) != 0 ||
	    memcmp(a->routes.patterns, b->routes.patterns, sizeof(a->routes.patterns)) != 0)
		return false;
	for (unsigned int i = 0; i < a->routes.count; i++)
		if (!same_endpoint(&a->backends[ROUTE_RULE + i], &b->backends[ROUTE_RULE + i]))
			return false;
	return true;
}

static bool has_listener(const struct options *options, const struct address *address)
{
	for (unsigned int i = 0; i < options->listener_count; i++)
		if (address_equal(&options->listeners[i], address))
			return true;
	return false;
}

static bool same_listeners(const struct options *a, const struct options *b)
{
	for (unsigned int i = 0; i < a->listener_count; i++)
		if (!has_listener(b, &a->listeners[i]))
			return false;
	return a->listener_count == b->listener_count;
}

static bool same_metrics(const struct options *a, const struct options *b)
{
	return a->metrics == b->metrics && (!a->metrics || address_equal(&a->metrics_address, &b->metrics_address));
}

static bool same_client_address(const struct options *a, const struct options *b)
{
	return a->client_address == b->client_address && a->client_address_proxy == b->client_address_proxy;
}

#define FIELD(name, option)                                                                                            \
	{                                                                                                              \
		option, NULL, offsetof(struct options, name), sizeof(((struct options *)0)->name), false               \
	}
#define FIXED(name, option)                                                                                            \
	{                                                                                                              \
		option, NULL, offsetof(struct options, name), sizeof(((struct options *)0)->name), true                \
	}

/* By option; those that are fixed are what the process was built around when it started. */
static const struct {
	const char *option;
	bool (*same)(const struct options *a, const struct options *b); /* NULL: the field's bytes */
	size_t offset, size;
	bool fixed;
} parts[] = {
	{"acme", same_acme, 0, 0, false},
	{"https", same_https, 0, 0, false},
	{"route", same_routes, 0, 0, false},
	{"listen", same_listeners, 0, 0, false},
	{"client-address", same_client_address, 0, 0, true},
	{"metrics", same_metrics, 0, 0, true},
	FIELD(proxy, "proxy-protocol"),
	FIELD(proxy_tlv_alpn, "proxy-tlv alpn"),
	FIELD(proxy_tlv_authority, "proxy-tlv authority"),
	FIELD(hello_timeout_ms, "hello-timeout"),
	FIELD(connect_timeout_ms, "connect-timeout"),
	FIELD(idle_timeout_ms, "idle-timeout"),
	FIELD(acme_timeout_ms, "acme-timeout"),
	FIELD(drain_timeout_ms, "drain-timeout"),
	FIELD(acme_fallback, "acme-fallback"),
	FIELD(max_connections, "max-connections"),
	FIELD(max_per_source, "max-per-source"),
	FIELD(buffer_bytes, "buffer"),
	FIELD(defer_accept, "no-defer-accept"),
	FIELD(log_level, "log-level"),
	FIELD(log_format, "log-format"),
	FIXED(arm, "arm"),
	FIXED(bypass, "no-bypass"),
	FIXED(workers, "workers"),
	FIXED(dataplane, "dataplane"),
	FIXED(name, "name"),
	FIXED(control_group, "control-group"),
};

static bool has_changed(size_t part, const struct options *old, const struct options *new)
{
	size_t offset = parts[part].offset;

	if (parts[part].same)
		return !parts[part].same(old, new);
	return memcmp((const char *)old + offset, (const char *)new + offset, parts[part].size) != 0;
}

/* The names of those that have changed, fixed or not, in out. How many there are. */
static unsigned int list_changes(const struct options *old, const struct options *new, bool fixed, char *out,
				 size_t size)
{
	unsigned int count = 0;
	size_t length = 0;

	*out = '\0';
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].fixed != fixed || !has_changed(i, old, new))
			continue;
		if (length < size)
			length += (size_t)snprintf(out + length, size - length, "%s%s", count ? ", " : "",
						   parts[i].option);
		count++;
	}
	return count;
}

/* Could it take effect without a restart? Else why not. */
static bool can_change(const struct attach *attach, const struct options *new, char *why, size_t size)
{
	char names[256];

	if (list_changes(&attach->options, new, true, names, sizeof(names))) {
		snprintf(why, size, "%s cannot change while alpnbpf runs; restart it", names);
		return false;
	}
	if (new->max_connections > attach->router.max_sessions) {
		snprintf(why, size, "max-connections %u: is more than the %u that memory was set aside for; restart it",
			 new->max_connections, attach->router.max_sessions);
		return false;
	}
	if (new->routes.count && !attach->router.dataplane.rules) {
		snprintf(why, size, "route: there was none when alpnbpf started; restart it");
		return false;
	}
	return steer_can_change(&attach->router.steer, &attach->options, new, why, size);
}

/* --- listeners --- */

static void close_opened(struct configuration *configuration, unsigned int workers)
{
	for (unsigned int i = 0; configuration->opened && i < workers * configuration->opened_count; i++)
		if (configuration->opened[i].fd >= 0)
			close(configuration->opened[i].fd);
}

/* An address that only overlaps with one of our own cannot be bound to see whether it is free. */
static bool overlaps_ours(const struct options *old, const struct address *address)
{
	for (unsigned int i = 0; i < old->listener_count; i++)
		if (!old->in_place[i] && address_port(&old->listeners[i]) == address_port(address))
			return true;
	return false;
}

/* SO_REUSEPORT would let us share a port with another alpnbpf of the same user, and take half of its connections. */
static int check_free(const struct attach *attach, const struct address *address, char *why, size_t size)
{
	char name[ADDRESS_TEXT_MAX], reason[DIAGNOSE_TEXT_MAX];
	int error;

	if (overlaps_ours(&attach->options, address))
		return 0;
	error = diagnose_bind(address, reason, sizeof(reason));
	if (error)
		snprintf(why, size, "cannot listen on %s: %s%s", address_format(address, name, sizeof(name)), reason,
			 error == -EACCES ? "; the right to it was given up once alpnbpf had started: restart it" : "");
	return error;
}

/* One for each worker and each address that is new. */
static int open_listeners(const struct attach *attach, struct configuration *configuration, char *why, size_t size)
{
	const struct options *new = &configuration->options;
	unsigned int workers = attach->router.workers, opened = 0;
	const struct address *added[LISTENERS_MAX];
	bool implied[LISTENERS_MAX];
	unsigned int count = 0;

	for (unsigned int i = 0; i < new->listener_count; i++) {
		if (new->in_place[i] || has_listener(&attach->options, &new->listeners[i]))
			continue;
		implied[count] = new->listener_implied[i];
		added[count++] = &new->listeners[i];
	}
	if (!count)
		return 0;
	for (unsigned int i = 0; i < count; i++) {
		int error = check_free(attach, added[i], why, size);

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
			int error = listener_prepare(&configuration->opened[opened], new, added[i], why, size);

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
static bool compile_rules(struct attach *attach, struct configuration *configuration)
{
	struct configuration *newest = atomic_load(&attach->router.configuration);
	struct clienthello_rules *table;
	uint16_t other = newest->rules == 1 ? 2 : 1;

	configuration->rules = newest->rules;
	if (!newest->rules || same_routes(&newest->options, &configuration->options))
		return true;
	for (struct configuration *older = newest->older; older; older = older->older)
		if (older->rules == other && atomic_load_explicit(&older->hellos, memory_order_acquire))
			return false;
	table = &attach->router.dataplane.rules[other - 1];
	memset(table, 0, sizeof(*table));
	routes_compile(&configuration->options.routes, table);
	configuration->rules = other;
	return true;
}

/* --- taking over --- */

static bool all_have_it(const struct attach *attach, const struct configuration *configuration)
{
	for (unsigned int i = 0; i < attach->running; i++)
		if (!atomic_load(&attach->workers[i].ended) &&
		    atomic_load(&attach->workers[i].adopted) != configuration)
			return false;
	return true;
}

static void hand_over(struct attach *attach, struct configuration *configuration)
{
	uint64_t until = monotonic_us() + PATIENCE_US, now, value;
	struct pollfd reported = {.fd = attach->router.reported, .events = POLLIN};

	configuration->older = atomic_load(&attach->router.configuration);
	atomic_store(&attach->router.configuration, configuration);
	for (unsigned int i = 0; i < attach->running; i++)
		worker_wake(&attach->workers[i]);
	while (!all_have_it(attach, configuration) && (now = monotonic_us()) < until)
		if (poll(&reported, 1, (int)((until - now) / MS + 1)) > 0 &&
		    read(reported.fd, &value, sizeof(value)) != sizeof(value))
			break;
	configuration->older = configuration_prune(configuration->older, NULL);
}

static bool set_source_limit(struct attach *attach, unsigned int limit)
{
	struct router *router = &attach->router;
	struct source_table *sources = atomic_load(&router->sources);

	if (!sources && !limit)
		return true;
	if (sources) {
		source_table_set_limit(sources, limit);
		return true;
	}
	/* Sessions that live by now are not in it, and know that. */
	sources = source_table_new(router->max_sessions, limit);
	if (!sources)
		return false;
	atomic_store(&router->sources, sources);
	return true;
}

/* All that can fail, and then that which cannot. False: nothing has changed. */
static bool apply(struct attach *attach, const struct options *new, char *why, size_t size)
{
	unsigned int most = new->max_connections ? new->max_connections : attach->router.max_sessions;
	struct configuration *configuration = configuration_new(new, most, attach->running);
	int error = configuration ? open_listeners(attach, configuration, why, size) : -ENOMEM;

	if (!error && !compile_rules(attach, configuration)) {
		snprintf(why, size,
			 "hellos of the rules before the last ones are still under way; try again in a moment");
		error = -EBUSY;
	}
	if (!error && !set_source_limit(attach, new->max_per_source))
		error = -ENOMEM;
	if (!error) {
		error = steer_change(&attach->router.steer, &attach->options, new);
		if (error)
			snprintf(why, size, "changing the steering: %s", strerror(-error));
	}
	if (error) {
		if (error == -ENOMEM)
			snprintf(why, size, "there is no memory for it");
		set_source_limit(attach, attach->options.max_per_source);
		if (configuration) {
			close_opened(configuration, attach->router.workers);
			free(configuration->opened);
		}
		free(configuration);
		return false;
	}
	log_init(new->log_level, new->log_format);
	attach->options = *new;
	hand_over(attach, configuration);
	return true;
}

/* --- parsing --- */

/*
 * On a thread of its own: names of backends are looked up, and a name server that does not answer takes as long as it
 * likes, while signs of life are expected of the main thread.
 */
struct parsing {
	struct options options;
	int argc;
	char **argv;
	enum options_result result;
	char error[1024];
	_Atomic int owners; /* the thread, and who waits for it: the last one frees it */
};

static _Atomic bool parses; /* one at a time */

static void parsing_leave(struct parsing *parsing)
{
	if (atomic_fetch_sub(&parsing->owners, 1) == 1)
		free(parsing);
}

static void *parse(void *argument)
{
	struct parsing *parsing = argument;

	parsing->result =
		options_parse(&parsing->options, parsing->argc, parsing->argv, parsing->error, sizeof(parsing->error));
	atomic_store(&parses, false);
	parsing_leave(parsing);
	return NULL;
}

/* False: it takes too long; the thread goes on, and frees what it has. */
static bool wait_for(struct attach *attach, pthread_t thread)
{
	uint64_t until = monotonic_us() + PARSE_PATIENCE_US;

	while (monotonic_us() < until) {
		struct timespec look;

		clock_gettime(CLOCK_REALTIME, &look);
		look.tv_nsec += (long)PARSE_LOOK_US * 1000;
		look.tv_sec += look.tv_nsec / 1000000000;
		look.tv_nsec %= 1000000000;
		if (pthread_timedjoin_np(thread, NULL, &look) == 0)
			return true;
		watchdog_look(&attach->watchdog, attach->workers, attach->running);
	}
	pthread_detach(thread);
	return false;
}

/* The new options, to be left by parsing_leave(); NULL with a sentence in why. */
static struct parsing *parse_anew(struct attach *attach, char *why, size_t size)
{
	struct parsing *parsing;
	pthread_t thread;
	int error;

	if (atomic_exchange(&parses, true)) {
		snprintf(why, size, "the names of an earlier reload are still being looked up");
		return NULL;
	}
	parsing = calloc(1, sizeof(*parsing));
	if (!parsing) {
		atomic_store(&parses, false);
		snprintf(why, size, "there is no memory for it");
		return NULL;
	}
	parsing->argc = attach->argc;
	parsing->argv = attach->argv;
	atomic_store(&parsing->owners, 2);
	error = pthread_create(&thread, NULL, parse, parsing);
	if (error) {
		atomic_store(&parses, false);
		free(parsing);
		snprintf(why, size, "a thread for it cannot be started: %s", strerror(error));
		return NULL;
	}
	if (!wait_for(attach, thread))
		snprintf(why, size,
			 "the names of backends could not be looked up within %llu s; use addresses, or try again",
			 PARSE_PATIENCE_US / 1000 / MS);
	else if (parsing->result != OPTIONS_OK)
		snprintf(why, size, "%s", parsing->error);
	else
		return parsing;
	parsing_leave(parsing);
	return NULL;
}

static bool try_reload(struct attach *attach, char *sentence, size_t size)
{
	struct parsing *parsing;
	char reason[1024], names[512];
	unsigned int changes;
	bool done;

	if (attach->phase != ATTACH_RUNNING) {
		snprintf(sentence, size, "alpnbpf is about to end");
		return false;
	}
	if (!all_have_it(attach, atomic_load(&attach->router.configuration))) {
		snprintf(sentence, size, "the last reload is still under way");
		return false;
	}
	parsing = parse_anew(attach, sentence, size);
	if (!parsing)
		return false;
	changes = list_changes(&attach->options, &parsing->options, false, names, sizeof(names));
	done = can_change(attach, &parsing->options, reason, sizeof(reason)) &&
	       apply(attach, &parsing->options, reason, sizeof(reason));
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

bool reload(struct attach *attach, char *sentence, size_t size)
{
	bool done;

	tell_service_manager();
	done = try_reload(attach, sentence, size);
	attach->reloads[done]++;
	attach->last_reload_failed = !done;
	attach->last_reload = time(NULL);
	if (done)
		log_info("reloaded: %s", sentence);
	else
		log_error("not reloaded, all goes on as before: %s", sentence);
	if (attach->phase == ATTACH_RUNNING)
		notify_service_manager("READY=1");
	return done;
}
