// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs the two programs that find listeners: one iterates over the open files of processes, at a cost that grows with
 * their number; the other looks up addresses, for listeners that the first does not find. Main thread.
 */
#include "steering/find_listeners.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/log.h"
#include "steering/endpoint.h"
#include "system/bpf_memory.h"

/* The code that bpftool generates is not clean under -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "listeners.skel.h"
#pragma GCC diagnostic pop

#define SOURCE_PORTS 2048 /* tried to reach one of several listeners that share an address */

/* --- opening --- */

static int finder_load(struct listener_finder *finder, uint64_t netns_cookie, int acme_listeners, int https_listeners,
		       bool files, bool looks_up)
{
	struct alpnbpf_listeners *skel = alpnbpf_listeners__open();
	int error;

	if (!skel)
		return -errno;
	skel->rodata->netns_cookie = netns_cookie;
	bpf_program__set_autoload(skel->progs.alpnbpf_keep, files);
	bpf_program__set_autoload(skel->progs.alpnbpf_keep_at, looks_up);
	error = bpf_map__reuse_fd(skel->maps.alpnbpf_acme, acme_listeners);
	if (!error)
		error = bpf_map__reuse_fd(skel->maps.alpnbpf_https, https_listeners);
	if (!error)
		error = alpnbpf_listeners__load(skel);
	if (!error && !skel->bss) /* libbpf goes on without it if memory was short */
		error = -ENOMEM;
	if (!error && files) {
		finder->files = bpf_program__attach_iter(skel->progs.alpnbpf_keep, NULL);
		error = finder->files ? 0 : -errno;
	}
	if (error) {
		alpnbpf_listeners__destroy(skel);
		return error;
	}
	finder->skel = skel;
	finder->looks_up = looks_up;
	return 0;
}

int listener_finder_open(struct listener_finder *finder, uint64_t netns_cookie, int acme_listeners, int https_listeners)
{
	static const struct {
		bool files, looks_up;
	} ways[] = {{true, true}, {true, false}, {false, true}}; /* the one that finds most comes first */
	int error = 0;

	*finder = (struct listener_finder){0};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		error = finder_load(finder, netns_cookie, acme_listeners, https_listeners, ways[i].files,
				    ways[i].looks_up);
		if (!error)
			break;
	}
	return error;
}

void listener_finder_close(struct listener_finder *finder)
{
	if (finder->files)
		bpf_link__destroy(finder->files);
	if (finder->skel)
		alpnbpf_listeners__destroy(finder->skel);
	*finder = (struct listener_finder){0};
}

/* --- finding --- */

/* Reading runs the program for all open files; it has no output. */
static void walk_files(const struct listener_finder *finder)
{
	int fd = bpf_iter_create(bpf_link__fd(finder->files));
	ssize_t count;
	char nothing;

	if (fd < 0) {
		log_debug("cannot iterate over the open files of processes: %s", strerror(errno));
		return;
	}
	do
		count = read(fd, &nothing, sizeof(nothing));
	while (count > 0 ||
	       (count < 0 && (errno == EAGAIN || errno == EINTR))); /* EAGAIN: after a million files per call */
	if (count < 0)
		log_debug("cannot iterate over all open files of processes: %s", strerror(errno));
	close(fd);
}

/* For a wildcard, an address that no other listener has: of TEST-NET-2, or of the discard prefix. */
static struct address address_beyond(const struct address *listener)
{
	struct address address = *listener;

	if (!address_is_wildcard(listener))
		return address;
	if (address.sa.sa_family == AF_INET)
		address.in.sin_addr.s_addr = htonl(0xc63364fe);
	else
		address.in6.sin6_addr = (struct in6_addr){.s6_addr = {[0] = 1, [15] = 1}};
	return address;
}

/* The source port decides which of the listeners that share an address is reached. */
static void look_address_up(const struct listener_finder *finder, uint32_t index, const struct address *listener)
{
	struct steer_search *search = &finder->skel->bss->search;
	const struct steer_kept *kept = &finder->skel->bss->found.kept[index];
	int program = bpf_program__fd(finder->skel->progs.alpnbpf_keep_at);
	struct address reach = address_beyond(listener);
	char packet[64] = {0}; /* a test run needs a packet */
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));

	search->index = index;
	search->reach = steer_endpoint_from(&reach);
	for (unsigned int port = 1; port <= SOURCE_PORTS && !__atomic_load_n(&kept->is_kept, __ATOMIC_ACQUIRE);
	     port++) {
		search->source_port = (__u16)port;
		if (bpf_prog_test_run_opts(program, &options)) {
			log_debug("cannot look up listeners: %s", strerror(errno));
			return;
		}
	}
}

/* Without cookies, listeners that share an address cannot be distinguished. */
static bool is_ambiguous(const struct listening *listeners, unsigned int count, unsigned int index)
{
	for (unsigned int i = 0; !listeners[index].cookie && i < count; i++)
		if (i != index && address_equal(&listeners[i].address, &listeners[index].address))
			return true;
	return false;
}

unsigned int listener_finder_keep(struct listener_finder *finder, enum steer_kind kind,
				  const struct listening *listeners, unsigned int count)
{
	struct steer_search search = {.kind = kind, .count = count};
	unsigned int by_files = 0, kept = 0;
	struct steer_found *found;

	if (!finder->skel || !count)
		return 0;
	search.port = (__u16)address_port(&listeners[0].address);
	for (unsigned int i = 0; i < count; i++)
		search.wanted[i] = (struct steer_wanted){.at = steer_endpoint_from(&listeners[i].address),
							 .cookie = listeners[i].cookie};
	found = &finder->skel->bss->found;
	*found = (struct steer_found){0};
	finder->skel->bss->search = search;
	if (finder->files)
		walk_files(finder);
	for (unsigned int i = 0; i < count; i++)
		by_files += found->kept[i].is_kept;
	for (unsigned int i = 0; finder->looks_up && i < count; i++)
		if (!found->kept[i].is_kept && !is_ambiguous(listeners, count, i))
			look_address_up(finder, i, &listeners[i].address);
	for (unsigned int i = 0; i < count; i++)
		kept += found->kept[i].is_kept;
	log_debug("port %u: %u existing listeners, %u of them tracked: %u found by open files, %u by address",
		  search.port, count, kept, by_files, kept - by_files);
	return kept;
}

int listener_finder_read_only(const struct listener_finder *finder)
{
	return bpf_memory_object_read_only(finder->skel ? finder->skel->obj : NULL);
}
