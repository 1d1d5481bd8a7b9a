// SPDX-License-Identifier: BSD-2-Clause
/* Maps shared memory: see shared.h for what is in it. Owns nothing. Main thread. */
#include "engine/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"

void shared_is_unsound(const char *what)
{
	static struct log_limit limit;
	unsigned long suppressed;

	if (log_limit_pass(&limit, &suppressed))
		log_error("a worker has sent %s that makes no sense, and that was not used; if this repeats, restart "
			  "alpnbpf and report it (%lu more suppressed)",
			  what, suppressed);
}

void *shared_map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void shared_clear(void *memory, size_t bytes)
{
	if (madvise(memory, bytes, MADV_REMOVE))
		log_debug("cannot give back %zu bytes of shared memory: %s", bytes, strerror(errno));
}

void shared_unmap(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}
