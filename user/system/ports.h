/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this machine lets us do, and in words why not. `check` prints it; `attach` uses the same functions, so that both
 * give the same errors. Reads /proc and /sys and opens short-lived sockets; changes nothing. Start-up only.
 */
#ifndef ALPNBPF_SYSTEM_PORTS_H
#define ALPNBPF_SYSTEM_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "options/options.h"
#include "base/address.h"

/* What is wrong with a kernel that is too old for the sockmap. */
#define DIAGNOSE_KERNEL_FAULT "its sockmap can lose or double data; 6.1.142, 6.12.35 and 6.16 are the first that do not"

/* Enough for every sentence written here. */
#define DIAGNOSE_TEXT_MAX 256

/*
 * The capabilities that binding our listeners needs; and those that a socket in the place of the web server's needs, at
 * any of the listened ports.
 */
uint64_t diagnose_capabilities_listen(const struct options *options);
uint64_t diagnose_capabilities_take_over(const struct options *options);

/*
 * Who listens where `address` wants to: "nginx (pid 123)" in out, returns 0. -1 when that cannot be seen from here: out
 * says "a process of another user or namespace".
 */
int diagnose_port_holder(const struct address *address, char *out, size_t size);

/* Does anybody listen where `address` wants to? */
bool diagnose_port_taken(const struct address *address);

/* "nginx (pid 123)" */
void diagnose_process(unsigned int pid, char *out, size_t size);

/* Why bind() or listen() on address failed with `error` (positive errno), and what helps. Returns out. */
const char *diagnose_bind_error(const struct address *address, int error, char *out, size_t size);

/* Binds as attach would, without listening, so that no client notices. 0, or -errno with the sentence in out. */
int diagnose_bind(const struct address *address, char *out, size_t size);

/* Connects and closes. 0, or -errno (-ETIMEDOUT after timeout_ms). */
int diagnose_connect(const struct address *address, unsigned int timeout_ms);

/* Descriptors attach needs besides its sessions: listeners and event sources of each worker, maps, programs, stdio. */
unsigned int diagnose_descriptor_reserve(const struct options *options);

/* How many sessions, at two descriptors each, a limit of `nofile` descriptors leaves room for. */
unsigned int diagnose_session_limit(const struct options *options, rlim_t nofile);

/* The descriptor limit that `sessions` sessions ask for. */
rlim_t diagnose_descriptors_needed(const struct options *options, unsigned int sessions);

/* Threads attach runs: --workers, or one a CPU this process may run on. */
unsigned int diagnose_workers(const struct options *options);

/*
 * Older than the first kernel of its series whose sockmap loses no data (docs/KERNEL.md 9)? Release and version as
 * uname gives them: Debian's release names no patch level, its version does. *name is what was compared.
 */
bool diagnose_kernel_too_old(const char *release, const char *version, char *name, size_t size);

#endif
