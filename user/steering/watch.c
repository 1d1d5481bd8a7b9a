// SPDX-License-Identifier: BSD-2-Clause
/* Sets the watch on hellos up and ends it. What it needs is opened before rights are given up. */
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

#include "system/capabilities.h"
#include "options/needs.h"
#include "base/log.h"
#include "steering/takeover.h"

/* bpftool's output is not written for -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "steer.skel.h"
#pragma GCC diagnostic pop

const char *hello_watch_why_not(const struct options *options)
{
	if (options->inspect == INSPECT_STEER)
		return "--inspect steer";
	if (options->routes.count)
		return "--route is given";
	if (options->proxy[ROUTE_HTTPS] != PROXY_NONE)
		return "the web server gets a PROXY header";
	return NULL;
}

static const int families[STEER_FAMILIES] = {[STEER_V4] = AF_INET, [STEER_V6] = AF_INET6};

/* A listener whose filter drops every packet. */
static int open_pit(int family)
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

/* Sequence numbers can be given to a socket, that is. */
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

/* A family that this machine does not have has no connections either. */
static int open_family(struct steer *steer, uint32_t family, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	uint64_t value;
	int pit = open_pit(families[family]), error;

	if (pit == -EAFNOSUPPORT || pit == -EADDRNOTAVAIL)
		return 0;
	if (pit < 0)
		return sentence_error(why, pit, "a listener that drops all: %s", strerror(-pit));
	value = (uint64_t)pit;
	steer->pits[family] = pit;
	if (bpf_map_update_elem(bpf_map__fd(steer->skel->maps.alpnbpf_silent), &family, &value, BPF_ANY)) {
		error = -errno;
		return sentence_error(why, error, "a listener in the map: %s", strerror(-error));
	}
	steer->raw[family] = takeover_open_raw(families[family]);
	if (steer->raw[family] >= 0)
		return 0;
	error = steer->raw[family];
	return sentence_error(why, error, "a raw socket: %s",
			      capabilities_strerror(error, CAPABILITY(CAP_NET_RAW), text, sizeof(text)));
}

static int attach(struct steer *steer)
{
	steer->watch = bpf_program__attach_cgroup(steer->skel->progs.alpnbpf_watch, steer->cgroup);
	return steer->watch ? 0 : -errno;
}

static void detach(struct steer *steer)
{
	if (steer->watch)
		bpf_link__destroy(steer->watch);
	steer->watch = NULL;
}

/* A port below 1024 takes a right that nothing else in place needs. */
static int check_bind(const struct options *options, struct sentence *why)
{
	uint64_t wanted = needs_to_take_over(options);
	char text[CAPABILITIES_TEXT_MAX];

	if (!capabilities_missing(wanted, text, sizeof(text)))
		return 0;
	return sentence_error(why, -EACCES, "a socket at the web server's port: %s",
			      capabilities_strerror(-EACCES, wanted, text, sizeof(text)));
}

int hello_watch_open(struct steer *steer, const struct options *options, int cgroup, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	int error = check_repair();

	if (error)
		sentence_set(why, "TCP_REPAIR: %s",
			     capabilities_strerror(error, CAPABILITY(CAP_NET_ADMIN), text, sizeof(text)));
	else
		error = check_bind(options, why);
	for (uint32_t family = 0; !error && family < STEER_FAMILIES; family++)
		error = open_family(steer, family, why);
	if (!error) {
		steer->cgroup = fcntl(cgroup, F_DUPFD_CLOEXEC, 0);
		error = steer->cgroup < 0 ? -errno : attach(steer);
		if (error)
			sentence_set(why, "the program on the cgroup: %s", strerror(-error));
	}
	if (error) {
		hello_watch_close(steer);
		return error;
	}
	detach(steer);
	steer->watches = true;
	return 0;
}

void hello_watch_follow(struct steer *steer, bool armed)
{
	static struct log_limit limit;
	unsigned long suppressed;
	int error = 0;

	if (!steer->watches || steer->watch_ended)
		return;
	if (!armed) {
		__atomic_store_n(&steer->state->watching, 0, __ATOMIC_SEQ_CST);
		/* Else what is on its way to us would reach the server after all: at the next look. */
		if (!steer_takeovers_pending(steer->state))
			detach(steer);
		return;
	}
	if (!steer->watch)
		error = attach(steer);
	if (!error)
		__atomic_store_n(&steer->state->watching, 1, __ATOMIC_SEQ_CST);
	else if (log_limit_pass(&limit, &suppressed))
		log_warn("all connections are steered, hellos cannot be read as they pass: %s (%lu more since)",
			 strerror(-error), suppressed);
}

void hello_watch_stop(struct steer *steer)
{
	steer->watch_ended = true;
	if (steer->state)
		__atomic_store_n(&steer->state->watching, 0, __ATOMIC_SEQ_CST);
}

int hello_watch_own(const struct steer *steer, int listener)
{
	uint8_t yes = 1;

	if (!steer->watches)
		return 0;
	return bpf_map_update_elem(steer->own_sockets, &listener, &yes, BPF_ANY) ? -errno : 0;
}

uint64_t hello_watch_untakable(const struct steer *steer)
{
	return steer->state ? __atomic_load_n(&steer->state->untakable, __ATOMIC_RELAXED) : 0;
}

void hello_watch_look(struct steer *steer)
{
	static struct log_limit limit;
	uint64_t untakable = hello_watch_untakable(steer);
	unsigned long suppressed;

	if (untakable == steer->untakable)
		return;
	steer->untakable = untakable;
	if (log_limit_pass(&limit, &suppressed))
		log_warn("connections left to the web server though their hello was not, or may not have been, for it: "
			 "%llu so far; it is bound to a device, the client's address is link-local, it had said "
			 "something before the hello, the connection is of MPTCP, or there was no memory (--inspect "
			 "steer takes them all)",
			 (unsigned long long)untakable);
}

void hello_watch_close(struct steer *steer)
{
	if (!steer->skel) /* nothing was opened: the descriptors mean nothing */
		return;
	detach(steer);
	if (steer->cgroup >= 0)
		close(steer->cgroup);
	steer->cgroup = -1;
	for (int family = 0; family < STEER_FAMILIES; family++) {
		if (steer->raw[family] >= 0)
			close(steer->raw[family]);
		if (steer->pits[family] >= 0)
			close(steer->pits[family]);
		steer->raw[family] = steer->pits[family] = -1;
	}
}
