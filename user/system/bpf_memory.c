// SPDX-License-Identifier: BSD-2-Clause
/* Takes from a process the right to write what it shares with programs: see bpf_memory.h. Owns nothing. Any thread. */
#include "system/bpf_memory.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/libbpf.h>

int bpf_memory_read_only(void *memory, size_t bytes, int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;

	return mmap(memory, whole, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ? -errno : 0;
}

int bpf_memory_object_read_only(struct bpf_object *object)
{
	struct bpf_map *map;

	if (!object)
		return 0;
	bpf_object__for_each_map(map, object)
	{
		size_t bytes = 0;
		void *memory = (void *)bpf_map__initial_value(map, &bytes); /* where it is mapped, once it exists */
		int error;

		if (!memory || !bytes || !(bpf_map__map_flags(map) & BPF_F_MMAPABLE))
			continue;
		error = bpf_memory_read_only(memory, bytes, bpf_map__fd(map));
		if (error)
			return error;
	}
	return 0;
}
