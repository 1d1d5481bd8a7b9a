/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that user space shares with BPF programs: maps of arrays that are mapped. No state. */
#ifndef ALPNBPF_SYSTEM_BPF_MEMORY_H
#define ALPNBPF_SYSTEM_BPF_MEMORY_H

#include <stddef.h>

struct bpf_object;

/*
 * From now on this process can only read `memory`, mapped from the map `fd`, at the same address. Once `fd` is closed
 * it cannot go back: the kernel refuses mprotect() (docs/KERNEL.md 9). 0 or -errno.
 */
int bpf_memory_read_only(void *memory, size_t bytes, int fd);
/* The same for the global variables of an object that is loaded. NULL: nothing to do. */
int bpf_memory_object_read_only(struct bpf_object *object);

#endif
