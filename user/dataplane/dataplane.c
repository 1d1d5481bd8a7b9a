// SPDX-License-Identifier: BSD-2-Clause
/*
 * Loads the verdict and owns its maps. The main thread opens and closes it while no worker runs; a worker opens its
 * ring, and inserts, forgets and kicks sockets of its own slots. Only the maps are shared, and the kernel synchronises
 * those.
 */
#include "dataplane/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/descriptor.h"
#include "system/bpf.h"
#include "system/bpf_memory.h"

/* The code that bpftool generates is not clean under -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "sockmap.skel.h"
#pragma GCC diagnostic pop

#define RING_EVENT_BYTES 16 /* a record's header and its 4 bytes, rounded up */

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static size_t flows_bytes(const struct dataplane *dataplane)
{
	return whole_pages(sizeof(struct flow) * SIDES * dataplane->workers * dataplane->slots_per_worker);
}

static size_t lost_bytes(const struct dataplane *dataplane)
{
	return whole_pages(sizeof(uint64_t) * dataplane->workers);
}

static size_t rules_bytes(void)
{
	return whole_pages(sizeof(struct clienthello_rules) * RULES_TABLES);
}

/* A power of two of pages, with room for two events per slot: a side sends none until its last one is answered. */
static unsigned int ring_bytes(unsigned int slots_per_worker)
{
	unsigned int bytes = (unsigned int)sysconf(_SC_PAGESIZE);

	while (bytes < 2 * slots_per_worker * RING_EVENT_BYTES && bytes < 1U << 24)
		bytes *= 2;
	return bytes;
}

static int create_rings(struct dataplane *dataplane)
{
	int outer = bpf_map__fd(dataplane->skel->maps.alpnbpf_rings);

	dataplane->rings = malloc(dataplane->workers * sizeof(int));
	if (!dataplane->rings)
		return -ENOMEM;
	for (uint32_t worker = 0; worker < dataplane->workers; worker++)
		dataplane->rings[worker] = NO_DESCRIPTOR;
	for (uint32_t worker = 0; worker < dataplane->workers; worker++) {
		int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "alpnbpf_ring", 0, 0,
					  ring_bytes(dataplane->slots_per_worker), NULL);

		if (ring < 0)
			return ring;
		dataplane->rings[worker] = ring;
		if (bpf_map_update_elem(outer, &worker, &ring, BPF_ANY))
			return -errno;
	}
	return 0;
}

/* fd: a map that can be mapped; NO_DESCRIPTOR: memory that is shared with processes forked later. */
static void *map_bytes(size_t bytes, int protection, int fd)
{
	void *memory = mmap(NULL, bytes, protection, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0), fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int map_memory(struct dataplane *dataplane, bool with_rules)
{
	const struct alpnbpf_sockmap *skel = dataplane->skel;

	dataplane->flows = map_bytes(flows_bytes(dataplane), PROT_READ | PROT_WRITE,
				     skel ? bpf_map__fd(skel->maps.alpnbpf_flows) : NO_DESCRIPTOR);
	if (!dataplane->flows)
		return -errno;
	if (skel) {
		dataplane->events_lost =
			map_bytes(lost_bytes(dataplane), PROT_READ, bpf_map__fd(skel->maps.alpnbpf_lost));
		if (!dataplane->events_lost)
			return -errno;
	}
	if (!with_rules)
		return 0;
	dataplane->rules = map_bytes(rules_bytes(), PROT_READ | PROT_WRITE,
				     skel ? bpf_map__fd(skel->maps.alpnbpf_rules) : NO_DESCRIPTOR);
	return dataplane->rules ? 0 : -errno;
}

static struct dataplane nothing_open(unsigned int workers, unsigned int slots_per_worker)
{
	return (struct dataplane){.workers = workers,
				  .slots_per_worker = slots_per_worker,
				  .socks = NO_DESCRIPTOR,
				  .slots = NO_DESCRIPTOR};
}

static int set_sizes(const struct dataplane *dataplane, bool with_rules)
{
	struct alpnbpf_sockmap *skel = dataplane->skel;
	uint32_t sides = 2 * dataplane->workers * dataplane->slots_per_worker;
	int error = bpf_map__set_max_entries(skel->maps.alpnbpf_socks, sides);

	if (!error) /* a preallocated hash may be full earlier, when CPUs cache free elements */
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_slots, sides + 256);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_flows, sides);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_rings, dataplane->workers);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_lost, dataplane->workers);
	if (!error && !with_rules) /* the program needs the map; one page is enough */
		error = bpf_map__set_value_size(skel->maps.alpnbpf_rules, sizeof(uint64_t));
	skel->rodata->slots_per_worker = dataplane->slots_per_worker;
	skel->rodata->with_rules = with_rules;
	return error;
}

int dataplane_open_sockmap(struct dataplane *dataplane, unsigned int workers, unsigned int slots_per_worker,
			   bool with_rules, struct sentence *why)
{
	const char *step = "opening the BPF program";
	int error;

	*dataplane = nothing_open(workers, slots_per_worker);
	dataplane->skel = alpnbpf_sockmap__open();
	if (!dataplane->skel)
		return bpf_explain(-errno, step, why);
	error = set_sizes(dataplane, with_rules);
	if (!error) {
		step = "loading the BPF program";
		error = alpnbpf_sockmap__load(dataplane->skel);
		/* If a map fails to be created, libbpf may assume a kernel without mmap() of maps, and go on. */
		if (!error && !dataplane->skel->rodata)
			error = -ENOMEM;
	}
	if (!error) {
		step = "creating the event rings";
		error = create_rings(dataplane);
	}
	if (!error) {
		step = "mapping the flows";
		error = map_memory(dataplane, with_rules);
	}
	if (!error) {
		step = "attaching the verdict to the sockmap";
		dataplane->socks = bpf_map__fd(dataplane->skel->maps.alpnbpf_socks);
		dataplane->slots = bpf_map__fd(dataplane->skel->maps.alpnbpf_slots);
		error = bpf_prog_attach(bpf_program__fd(dataplane->skel->progs.alpnbpf_verdict), dataplane->socks,
					BPF_SK_SKB_VERDICT, 0);
	}
	if (!error)
		return 0;
	bpf_explain(error, step, why);
	dataplane_close(dataplane);
	return error;
}

int dataplane_open_user(struct dataplane *dataplane, unsigned int workers, unsigned int slots_per_worker,
			bool with_rules)
{
	int error;

	*dataplane = nothing_open(workers, slots_per_worker);
	error = map_memory(dataplane, with_rules);
	if (error)
		dataplane_close(dataplane);
	return error;
}

void dataplane_close(struct dataplane *dataplane)
{
	if (dataplane->flows)
		munmap(dataplane->flows, flows_bytes(dataplane));
	if (dataplane->rules)
		munmap(dataplane->rules, rules_bytes());
	if (dataplane->events_lost)
		munmap(dataplane->events_lost, lost_bytes(dataplane));
	for (unsigned int worker = 0; dataplane->rings && worker < dataplane->workers; worker++)
		descriptor_close(&dataplane->rings[worker]);
	free(dataplane->rings);
	if (dataplane->skel)
		alpnbpf_sockmap__destroy(dataplane->skel);
	*dataplane = nothing_open(0, 0);
}

int dataplane_open_ring(const struct dataplane *dataplane, unsigned int worker,
			int (*seen)(void *context, void *event, size_t size), void *context, struct ring_buffer **ring)
{
	*ring = ring_buffer__new(dataplane->rings[worker], seen, context, NULL);
	return *ring ? 0 : -errno;
}

int dataplane_insert(struct dataplane *dataplane, uint32_t key, int fd, uint64_t *cookie)
{
	socklen_t length = sizeof(*cookie);
	uint64_t value = (uint64_t)fd;
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &length))
		return -errno;
	/* First the key, then the socket: the verdict needs the key as soon as it runs. */
	if (bpf_map_update_elem(dataplane->slots, cookie, &key, BPF_ANY))
		return -errno;
	if (bpf_map_update_elem(dataplane->socks, &key, &value, BPF_ANY) == 0)
		return 0;
	error = -errno;
	bpf_map_delete_elem(dataplane->slots, cookie);
	return error;
}

void dataplane_forget(struct dataplane *dataplane, uint64_t cookie)
{
	bpf_map_delete_elem(dataplane->slots, &cookie);
}

int dataplane_kick(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno == EAGAIN ? 0 : -errno;
}

int dataplane_read_only(const struct dataplane *dataplane)
{
	int error;

	if (!dataplane->skel)
		return dataplane->rules && mprotect(dataplane->rules, rules_bytes(), PROT_READ) ? -errno : 0;
	error = bpf_memory_object_read_only(dataplane->skel->obj);
	if (!error && dataplane->rules)
		error = bpf_memory_read_only(dataplane->rules, rules_bytes(),
					     bpf_map__fd(dataplane->skel->maps.alpnbpf_rules));
	return error;
}
