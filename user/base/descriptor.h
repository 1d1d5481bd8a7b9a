/* SPDX-License-Identifier: BSD-2-Clause */
/* File descriptors: one value for "no descriptor", and a close that is safe to repeat. Any thread. */
#ifndef ALPNBPF_BASE_DESCRIPTOR_H
#define ALPNBPF_BASE_DESCRIPTOR_H

/* The value of a descriptor field that holds no descriptor. */
enum { NO_DESCRIPTOR = -1 };

/* Closes the descriptor if there is one, and sets it to NO_DESCRIPTOR. Preserves errno. */
void descriptor_close(int *fd);

/* Closes all descriptors but the standard ones and those in `kept`, which it sorts. NO_DESCRIPTOR is allowed there. */
void descriptor_close_others(int *kept, unsigned int count);

#endif
