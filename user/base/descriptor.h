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

/* A descriptor in the place of a standard one that nobody uses: /dev/null, or where there is none, one like it. */
int descriptor_open_nothing(void);

/*
 * Whoever sends to this unix socket may pass no descriptors. When one that nobody received is closed, in the process
 * that closes or reads, a TCP socket with SO_LINGER may keep it for years. Before Linux 6.16 it has no effect
 * (SO_PASSRIGHTS). What a listener accepts inherits it.
 */
void descriptor_refuse_passed(int fd);

#endif
