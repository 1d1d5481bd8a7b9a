/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP ports of this machine: whether we can have one, who has it, and in words why not. Opens sockets and files of
 * /proc within a call, changes nothing. Main thread, at the start and whenever a listener comes or goes; the search for
 * a holder reads the descriptors of all processes.
 */
#ifndef ALPNBPF_SYSTEM_PORTS_H
#define ALPNBPF_SYSTEM_PORTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/sentence.h"

/* Ports below it take CAP_NET_BIND_SERVICE. */
unsigned int port_first_unprivileged(void);

/* Is there a listener in the way of one at `address`? */
bool port_is_taken(const struct address *address);

/*
 * The process that has it: "nginx (pid 123)" in out, of PROCESS_TEXT_MAX. False when it cannot be seen from here: out
 * says "a process of another user or namespace".
 */
bool port_find_holder(const struct address *address, char *out, size_t size);

/* Why bind() or listen() on address failed with `error` (-errno), and what helps. Returns error. */
int port_explain(const struct address *address, int error, struct sentence *why);

/* Binds as attach would, without listening, so that no client notices. 0, or -errno and why. */
int port_try_bind(const struct address *address, struct sentence *why);

/* Connects and closes. 0, or -errno (-ETIMEDOUT after timeout_ms). */
int port_try_connect(const struct address *address, unsigned int timeout_ms);

/*
 * A socket that is connected to a port that nothing listens on can be connected to itself, when that was the ephemeral
 * port that the kernel picked for it. Any thread.
 */
bool port_connected_to_itself(int fd, const struct address *address);

#endif
