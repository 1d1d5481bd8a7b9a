// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sets up the watch, has its programs attached while armed, and ends it. What takes rights, the repair helper does.
 * Main thread, except the functions for the worker.
 */
#include "steering/watch.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/log.h"
#include "base/timer.h"
#include "options/needs.h"
#include "steering/endpoint.h"
#include "system/capabilities.h"

#define STAYS_US           (1000 * US_PER_MS) /* attached, once disarmed */
#define ATTACH_PATIENCE_MS 100                /* then new connections are steered until the helper answers */
#define START_PATIENCE_MS  5000

static const int families[STEER_FAMILIES] = {[STEER_V4] = AF_INET, [STEER_V6] = AF_INET6};

/* A listener whose filter drops every packet. */
static int open_silent(int family)
{
	struct sock_filter nothing = {.code = BPF_RET | BPF_K};
	struct sock_fprog filter = {.len = 1, .filter = &nothing};
	struct address address = {.in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT},
				  .len = sizeof(address.in6)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error;

	if (fd < 0)
		return -errno;
	if (family == AF_INET) {
		address = (struct address){.len = sizeof(address.in)};
		address.in.sin_family = AF_INET;
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0 &&
	    bind(fd, &address.sa, address.len) == 0 && listen(fd, 1) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* May we set the sequence numbers of a socket? */
static int check_repair(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error = 0;

	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		error = -errno;
	close(fd);
	return error;
}

/* Without the family on this machine, there are no such connections either. */
static int open_family(struct hello_watch *watch, uint32_t family, struct sentence *why)
{
	uint64_t value;
	int fd = open_silent(families[family]), error;

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		return 0;
	if (fd < 0)
		return sentence_error(why, fd, "cannot open a silent listener: %s", strerror(-fd));
	value = (uint64_t)fd;
	watch->silent[family] = fd;
	if (bpf_map_update_elem(watch->maps->silent_listeners, &family, &value, BPF_ANY)) {
		error = -errno;
		return sentence_error(why, error, "cannot put a listener into the map: %s", strerror(-error));
	}
	return 0;
}

/* A port below 1024 needs a capability that nothing else in place needs. */
static int check_bind(const struct options *options, struct sentence *why)
{
	uint64_t wanted = needs_to_take_over(options);
	char text[CAPABILITIES_TEXT_MAX];

	if (!capabilities_missing(wanted, text, sizeof(text)))
		return 0;
	return sentence_error(why, -EACCES, "cannot open a socket on the web server's port: %s",
			      capabilities_strerror(-EACCES, wanted, text, sizeof(text)));
}

bool hello_watch_is_attached(const struct hello_watch *watch)
{
	return watch->hooks == HOOKS_ATTACHED;
}

bool hello_watch_is_possible(const struct hello_watch *watch)
{
	return watch->is_ready && !watch->is_lost;
}

int hello_watch_fd(const struct hello_watch *watch)
{
	return watch->helper.main.socket;
}

/* --- the helper --- */

static void each_port(const struct options *options, void (*seen)(void *context, unsigned int port), void *context)
{
	const struct endpoint *https = &options->backends[ROUTE_HTTPS];

	for (unsigned int i = 0; i < options->listener_count; i++)
		seen(context, address_port(&options->listeners[i]));
	for (unsigned int i = 0; i < https->count; i++)
		seen(context, address_port(&https->addresses[i]));
}

static void allow_port(void *duty, unsigned int port)
{
	repair_duty_allow(duty, port);
}

static void tell_port(void *watch, unsigned int port)
{
	if (repair_ask(&((struct hello_watch *)watch)->helper.main, REPAIR_PORT, port))
		log_warn("cannot tell the repair helper of port %u; its connections are not taken over", port);
}

void hello_watch_allow(struct hello_watch *watch, const struct options *options)
{
	if (hello_watch_is_possible(watch))
		each_port(options, tell_port, watch);
}

static int start_helper(struct hello_watch *watch, const struct bpf_program *const programs[WATCH_HOOKS],
			const struct options *options, int cgroup, struct sentence *why)
{
	static struct repair_duty duty; /* 8 KiB */
	struct user user;
	int error = user_decide(&user, options->user, why);

	if (error)
		return error;
	error = inject_open(&duty.injector, watch->maps->inject);
	if (error)
		return sentence_error(why, error, "cannot open a netlink socket: %s", strerror(-error));
	duty = (struct repair_duty){.removal = watch->removal,
				    .injector = duty.injector,
				    .taken = watch->maps->being_taken,
				    .state = watch->maps->state,
				    .cgroup = cgroup};
	for (int hook = 0; hook < WATCH_HOOKS; hook++)
		duty.programs[hook] = bpf_program__fd(programs[hook]);
	each_port(options, allow_port, &duty);
	error = repair_helper_start(&watch->helper, &duty, watch->maps->idle, &user, why);
	inject_close(&duty.injector);
	return error;
}

/* Entries whose takeover nobody can end any more: the client's packets are the server's again. */
static void remove_all_entries(struct hello_watch *watch)
{
	struct steer_connection ends;

	while (bpf_map_get_next_key(watch->maps->being_taken, NULL, &ends) == 0 &&
	       bpf_map_delete_elem(watch->maps->being_taken, &ends) == 0)
		__atomic_fetch_add(&watch->maps->state->takeovers_ended, 1, __ATOMIC_SEQ_CST);
}

/* The kernel has detached the programs with it. */
static void helper_has_ended(struct hello_watch *watch)
{
	watch->is_lost = true;
	watch->hooks = HOOKS_DETACHED;
	hello_watch_steer(watch);
	descriptor_close(&watch->helper.main.socket);
	remove_all_entries(watch);
	snprintf(watch->cannot, sizeof(watch->cannot), "the repair helper (process %d) has ended",
		 (int)watch->helper.pid);
	watch->why_not = watch->cannot;
	log_error("%s: nothing can be taken over any more; while armed, new connections are steered through alpnbpf "
		  "until it is restarted",
		  watch->cannot);
}

static void note_not_released(const struct repair_answer *note)
{
	static struct log_limit limit;
	struct address client = steer_endpoint_address(&note->client, note->value);
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (log_limit_pass(&limit, &suppressed))
		log_info("cannot give the held connection of %s to the web server at once: %s; the web server accepts "
			 "it within a second (%lu more suppressed)",
			 address_format(&client, name, sizeof(name)), strerror(-note->result), suppressed);
}

static void note_attached(struct hello_watch *watch, int error)
{
	static struct log_limit limit;
	unsigned long suppressed;

	if (watch->hooks == HOOKS_ASKED_FOR)
		watch->hooks = error ? HOOKS_DETACHED : HOOKS_ATTACHED;
	if (error && log_limit_pass(&limit, &suppressed))
		log_warn("cannot inspect ClientHellos in passing: %s; steering new connections through alpnbpf instead "
			 "(%lu more suppressed)",
			 strerror(-error), suppressed);
}

/* Hears everything that the helper has said; waits for the programs' attachment if patience_ms. */
static void hear_helper(struct hello_watch *watch, int patience_ms)
{
	struct repair_answer answer;
	int result;

	while ((result = repair_read(&watch->helper.main, &answer, patience_ms)) == 1) {
		if (answer.kind == REPAIR_NOT_RELEASED)
			note_not_released(&answer);
		else if (answer.kind == REPAIR_ATTACH)
			note_attached(watch, answer.result);
		if (watch->hooks != HOOKS_ASKED_FOR)
			patience_ms = 0;
	}
	if (result < 0 && !watch->is_lost)
		helper_has_ended(watch);
}

static void attach_watch(struct hello_watch *watch)
{
	if (watch->hooks == HOOKS_DETACHED && repair_ask(&watch->helper.main, REPAIR_ATTACH, 0) == 0) {
		watch->hooks = HOOKS_ASKED_FOR;
		hear_helper(watch, ATTACH_PATIENCE_MS);
	}
}

static void detach_watch(struct hello_watch *watch)
{
	if (watch->hooks != HOOKS_DETACHED && repair_ask(&watch->helper.main, REPAIR_DETACH, 0) == 0)
		watch->hooks = HOOKS_DETACHED;
}

/* At start-up: can it attach them? */
static int try_to_attach(struct hello_watch *watch, struct sentence *why)
{
	struct repair_answer answer = {0};
	int result = repair_ask(&watch->helper.main, REPAIR_ATTACH, 0);

	while (!result && answer.kind != REPAIR_ATTACH) {
		int read = repair_read(&watch->helper.main, &answer, START_PATIENCE_MS);

		if (read <= 0)
			result = read ? read : -ETIMEDOUT;
	}
	if (!result)
		result = answer.result;
	if (!result)
		result = repair_ask(&watch->helper.main, REPAIR_DETACH, 0);
	return result ? sentence_error(why, result, "cannot attach the programs to the cgroup: %s", strerror(-result))
		      : 0;
}

int hello_watch_open(struct hello_watch *watch, const struct steer_maps *maps,
		     const struct bpf_program *const programs[WATCH_HOOKS], const struct options *options, int cgroup,
		     struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	int error = check_repair();

	watch->maps = maps;
	if (error)
		sentence_set(why, "cannot use TCP_REPAIR: %s",
			     capabilities_strerror(error, CAPABILITY(CAP_NET_ADMIN), text, sizeof(text)));
	else
		error = check_bind(options, why);
	for (uint32_t family = 0; !error && family < STEER_FAMILIES; family++)
		error = open_family(watch, family, why);
	if (!error)
		error = removal_open(&watch->removal, why);
	if (!error)
		error = start_helper(watch, programs, options, cgroup, why);
	if (!error)
		error = try_to_attach(watch, why);
	removal_close(&watch->removal);
	if (error) {
		hello_watch_close(watch);
		return error;
	}
	watch->is_ready = true;
	return 0;
}

void hello_watch_do_without(struct hello_watch *watch, const char *why)
{
	log_info(
		"while armed, new connections will be proxied, because ClientHellos cannot be inspected in passing: %s",
		why);
	watch->why_not = watch->cannot;
	snprintf(watch->cannot, sizeof(watch->cannot), "%.250s", why);
}

void hello_watch_follow(struct hello_watch *watch, bool armed)
{
	struct steer_state *state = watch->maps ? watch->maps->state : NULL;

	if (!watch->is_ready || watch->has_ended)
		return;
	if (watch->is_lost) {
		if (steer_takeovers_pending(state)) /* begun before its end was seen */
			remove_all_entries(watch);
		return;
	}
	if (armed) {
		watch->armed_at = monotonic_us();
	} else {
		watch->steers = false;
		if (monotonic_us() < hello_watch_next(watch))
			return;
	}
	if (!armed) {
		__atomic_store_n(&state->watching, 0, __ATOMIC_SEQ_CST);
		/* Detached during a takeover, its packets would reach the server: try again on the next call. */
		if (!steer_takeovers_pending(state))
			detach_watch(watch);
		return;
	}
	if (watch->steers)
		return;
	if (watch->hooks == HOOKS_DETACHED) {
		/* What was seen of the web server while armed before may have been an exception. */
		__atomic_store_n(&state->speaks_first, 0, __ATOMIC_RELAXED);
		watch->speaks_first = false;
		attach_watch(watch);
	}
	if (hello_watch_is_attached(watch))
		__atomic_store_n(&state->watching, 1, __ATOMIC_SEQ_CST);
}

uint64_t hello_watch_next(const struct hello_watch *watch)
{
	return hello_watch_is_attached(watch) ? watch->armed_at + STAYS_US : UINT64_MAX;
}

bool hello_watch_leaves_no_trace(const struct hello_watch *watch)
{
	return hello_watch_is_possible(watch) && !*watch->removal.why_trace;
}

void hello_watch_stop(struct hello_watch *watch)
{
	watch->has_ended = true;
	if (watch->is_ready)
		__atomic_store_n(&watch->maps->state->watching, 0, __ATOMIC_SEQ_CST);
}

int hello_watch_own(const struct hello_watch *watch, int listener)
{
	uint8_t yes = 1;

	if (!watch->is_ready)
		return 0;
	return bpf_map_update_elem(watch->maps->own_sockets, &listener, &yes, BPF_ANY) ? -errno : 0;
}

/* The counts as last logged: returns how much a row of counters has grown. */
static uint64_t count_since(const __u64 *counters, int count, uint64_t *seen)
{
	uint64_t sum = 0, more;

	for (int i = 0; i < count; i++)
		sum += __atomic_load_n(&counters[i], __ATOMIC_RELAXED);
	more = sum - *seen;
	*seen = sum;
	return more;
}

void hello_watch_look(struct hello_watch *watch)
{
	static struct log_limit untakable_limit, late_limit;
	unsigned long suppressed;

	if (!watch->is_ready)
		return;
	if (!watch->is_lost)
		hear_helper(watch, 0);
	if (count_since(watch->maps->state->untakable, STEER_UNTAKABLES, &watch->untakable) &&
	    log_limit_pass(&untakable_limit, &suppressed))
		log_warn("%llu connections so far could not be taken over and stayed with the web server, though their "
			 "ClientHello may have been for another route; status and alpnbpf_untakable_total have the "
			 "reasons",
			 (unsigned long long)watch->untakable);
	if (!watch->speaks_first && __atomic_load_n(&watch->maps->state->speaks_first, __ATOMIC_RELAXED)) {
		watch->speaks_first = true;
		log_info("the web server sends before its clients do: connections are no longer held until their "
			 "ClientHello, and a takeover resets the web server's socket");
	}
	if (count_since(watch->maps->state->late, STEER_LATES, &watch->late) &&
	    log_limit_pass(&late_limit, &suppressed))
		log_warn("%llu segments of ClientHellos so far had no room when they came, and were received a "
			 "retransmission later",
			 (unsigned long long)watch->late);
}

static bool tell_helper(struct hello_watch *watch, enum repair_kind kind, const struct repair_entry *entry)
{
	return repair_tell(&watch->helper.worker, kind, entry) != -EAGAIN;
}

bool hello_watch_release(struct hello_watch *watch, const struct repair_entry *entry)
{
	return tell_helper(watch, REPAIR_RELEASE, entry);
}

bool hello_watch_leave(struct hello_watch *watch, const struct repair_entry *entry)
{
	return tell_helper(watch, REPAIR_LEAVE, entry);
}

bool hello_watch_reset_client(struct hello_watch *watch, const struct repair_entry *entry)
{
	return tell_helper(watch, REPAIR_RESET_CLIENT, entry);
}

void hello_watch_steer(struct hello_watch *watch)
{
	if (!watch->maps) /* no worker takes over, but what says so is memory of the workers */
		return;
	watch->steers = true;
	__atomic_store_n(&watch->maps->state->watching, 0, __ATOMIC_SEQ_CST);
}

void hello_watch_close(struct hello_watch *watch)
{
	repair_helper_stop(&watch->helper); /* detaches the programs */
	watch->hooks = HOOKS_DETACHED;
	for (int family = 0; family < STEER_FAMILIES; family++)
		descriptor_close(&watch->silent[family]);
	watch->is_ready = false;
}
