/* SPDX-License-Identifier: BSD-2-Clause */
/* File descriptors: one value for "there is none", and closing that is safe to repeat. Any thread. */
#ifndef ALPNBPF_BASE_DESCRIPTOR_H
#define ALPNBPF_BASE_DESCRIPTOR_H

/* A field that holds a descriptor has this value whenever it holds none. */
enum { NO_DESCRIPTOR = -1 };

/* Closes it if there is one; there is none afterwards. errno stays as it was. */
void descriptor_close(int *fd);

#endif
