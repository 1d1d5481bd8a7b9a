/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where log lines go: stderr, written so that no thread ever waits for its reader. A line that cannot be written is
 * counted instead. Any thread, except where it says so; used by log.c.
 */
#ifndef ALPNBPF_BASE_LOG_OUTPUT_H
#define ALPNBPF_BASE_LOG_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A write of this many bytes to a pipe is done whole or not at all, also if several processes write (pipe(7)). */
#define LOG_LINE_MAX ((size_t)PIPE_BUF)

/* At the first call, and whenever stderr has become another file: finds out how it is written. Main thread. */
void log_output_open(void);

/*
 * Writes a line, at most LOG_LINE_MAX bytes with its newline. `make_lost` makes one that says how many could not be
 * written before it, and why (errno).
 */
void log_output_write(const char *line, size_t length, size_t (*make_lost)(char *out, uint64_t lines, int error));

/* See log_wait_for_reader(). Main thread. */
void log_output_wait(bool may_wait);

/* Lines that could not be written, of this process and of those forked after the first log_output_open(). */
uint64_t log_output_lost(void);
/* Likewise, lines that a limit suppressed. */
void log_output_suppress(void);
uint64_t log_output_suppressed(void);

/* The descriptor that it opened, which a forked process must not close; or NO_DESCRIPTOR. */
int log_output_descriptor(void);

#endif
