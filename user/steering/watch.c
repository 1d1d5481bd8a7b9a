// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sets up the watch, attaches its program while armed, and ends it. Opens everything before capabilities are dropped.
 * Main thread, except the functions for the worker.
 */
#include "steering/watch.h"

#include <errno.h>
#include <fcntl.h>
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
#include "system/capabilities.h"

#define ENTRY_TRIES 3
#define STAYS_US    (1000 * US_PER_MS) /* attached, once disarmed */

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

static void detach_watch(struct hello_watch *watch)
{
	/* In reverse order: the egress program last. */
	for (int i = WATCH_HOOKS - 1; i >= 0; i--) {
		if (watch->links[i])
			bpf_link__destroy(watch->links[i]);
		watch->links[i] = NULL;
	}
}

bool hello_watch_is_attached(const struct hello_watch *watch)
{
	return watch->links[WATCH_HOOKS - 1] != NULL;
}

/* The egress program first: it must be there before a connection can be taken over. */
static int attach_watch(struct hello_watch *watch)
{
	for (int i = 0; i < WATCH_HOOKS; i++) {
		watch->links[i] = bpf_program__attach_cgroup(watch->programs[i], watch->cgroup);
		if (!watch->links[i]) {
			int error = -errno;

			detach_watch(watch);
			return error;
		}
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

int hello_watch_open(struct hello_watch *watch, const struct steer_maps *maps,
		     const struct bpf_program *const programs[WATCH_HOOKS], const struct options *options, int cgroup,
		     struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	int error = check_repair();

	watch->maps = maps;
	memcpy(watch->programs, programs, sizeof(watch->programs));
	if (error)
		sentence_set(why, "cannot use TCP_REPAIR: %s",
			     capabilities_strerror(error, CAPABILITY(CAP_NET_ADMIN), text, sizeof(text)));
	else
		error = check_bind(options, why);
	for (uint32_t family = 0; !error && family < STEER_FAMILIES; family++)
		error = open_family(watch, family, why);
	if (!error)
		error = removal_open(&watch->removal, why);
	if (!error) {
		error = held_open(&watch->held, maps, watch->removal.raw);
		if (error)
			sentence_set(why, "cannot follow connections that are held: %s", strerror(-error));
	}
	if (!error) {
		watch->cgroup = fcntl(cgroup, F_DUPFD_CLOEXEC, 0);
		error = watch->cgroup < 0 ? -errno : attach_watch(watch);
		if (error)
			sentence_set(why, "cannot attach the programs to the cgroup: %s", strerror(-error));
	}
	if (error) {
		hello_watch_close(watch);
		return error;
	}
	detach_watch(watch);
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
	static struct log_limit limit;
	unsigned long suppressed;
	int error = 0;

	if (!watch->is_ready || watch->has_ended)
		return;
	if (armed)
		watch->armed_at = monotonic_us();
	else if (monotonic_us() < hello_watch_next(watch))
		return;
	if (!armed) {
		__atomic_store_n(&watch->maps->state->watching, 0, __ATOMIC_SEQ_CST);
		watch->steers = false;
		/* Detached during a takeover, its packets would reach the server: try again on the next call. */
		if (!steer_takeovers_pending(watch->maps->state))
			detach_watch(watch);
		return;
	}
	if (watch->steers)
		return;
	if (!hello_watch_is_attached(watch)) {
		/* What was seen of the web server while armed before may have been an exception. */
		__atomic_store_n(&watch->maps->state->speaks_first, 0, __ATOMIC_RELAXED);
		error = attach_watch(watch);
	}
	if (!error)
		__atomic_store_n(&watch->maps->state->watching, 1, __ATOMIC_SEQ_CST);
	if (error && log_limit_pass(&limit, &suppressed))
		log_warn("cannot inspect ClientHellos in passing: %s; steering new connections through alpnbpf instead "
			 "(%lu more suppressed)",
			 strerror(-error), suppressed);
}

uint64_t hello_watch_next(const struct hello_watch *watch)
{
	return hello_watch_is_attached(watch) ? watch->armed_at + STAYS_US : UINT64_MAX;
}

bool hello_watch_leaves_no_trace(const struct hello_watch *watch)
{
	return watch->is_ready && !*watch->removal.why_trace;
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
	held_release(&watch->held);
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

/* A bucket's lock may be busy for a moment. */
static int delete_entry(const struct hello_watch *watch, const struct steer_connection *ends)
{
	int error = 0;

	for (int tries = 0; tries < ENTRY_TRIES; tries++) {
		error = bpf_map_delete_elem(watch->maps->being_taken, ends) ? -errno : 0;
		if (!error || error == -ENOENT)
			break;
	}
	return error;
}

void hello_watch_release(const struct hello_watch *watch, const struct steer_connection *ends)
{
	static struct log_limit limit;
	unsigned long suppressed;
	int error = delete_entry(watch, ends);

	if (!error)
		__atomic_fetch_add(&watch->maps->state->takeovers_ended, 1, __ATOMIC_SEQ_CST);
	else if (error != -ENOENT && log_limit_pass(&limit, &suppressed))
		log_error("cannot end a takeover: %s; a client gets no answer (%lu more suppressed)", strerror(-error),
			  suppressed);
}

void hello_watch_leave(const struct hello_watch *watch, const struct steer_connection *ends)
{
	uint8_t left = STEER_LEFT;

	if (bpf_map_update_elem(watch->maps->being_taken, ends, &left, BPF_EXIST))
		hello_watch_release(watch, ends); /* its hello may be read again */
}

void hello_watch_steer(struct hello_watch *watch)
{
	watch->steers = true;
	__atomic_store_n(&watch->maps->state->watching, 0, __ATOMIC_SEQ_CST);
}

void hello_watch_close(struct hello_watch *watch)
{
	detach_watch(watch);
	held_close(&watch->held);
	descriptor_close(&watch->cgroup);
	for (int family = 0; family < STEER_FAMILIES; family++)
		descriptor_close(&watch->silent[family]);
	removal_close(&watch->removal);
	watch->is_ready = false;
}
